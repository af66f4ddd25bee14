"""What a training run has said and logged."""

import keras_spp as spp
from tests.helpers.both_keras import keras


def recorded():
    """A callback with the logs of every batch, and where the model stands after it."""

    class Recorder(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.logs, self.progress = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.logs.append(dict(logs))
            self.progress.append(spp.Pruner(self.model).progress())

    return Recorder()


def spp_warnings(caught):
    return [str(warning.message) for warning in caught if "SPP" in str(warning.message)]
