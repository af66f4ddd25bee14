"""A training run of a Keras 3 model that is killed somewhere and can be started again.

`python -m tests.helpers.resumable_keras3` prints where it starts, and ends with an archive of
everything that the training has changed.
"""

import argparse
import os
import signal
from pathlib import Path

import keras
import numpy as np

import keras_spp as spp
from tests.helpers.killed import kill_in_the_next_write
from tests.helpers.training_keras3 import compiled, conv_net, dense_net, prune, samples, state

STEPS, EPOCHS, BATCH = 6, 5, 4

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, STEPS * EPOCHS)
    ),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01, use_ema=True),
}


def pruned_model(options):
    """About 12 updates: pruning, then fine-tuning."""
    keras.utils.set_random_seed(0)
    net = conv_net if options.net == "conv" else dense_net
    return prune(net(), A=0.5, frequency=1, score=options.score, score_decay=0.5)


class Killer(keras.callbacks.Callback):
    """Ends the process without warning at a step, or in what is written after it."""

    def __init__(self, moment):
        super().__init__()
        step, _, self.how = moment.partition("/")
        self.step = -1 if step == "never" else int(step)

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            if self.how == "writing":
                kill_in_the_next_write()
            else:
                os.kill(os.getpid(), signal.SIGKILL)


def run(options, folder):
    path = folder / "model.keras"
    if options.way == "file" and path.exists():
        model = keras.saving.load_model(path)
    else:
        model = compiled(pruned_model(options), OPTIMIZERS[options.optimizer]())
    begun = int(model.optimizer.iterations)
    print(f"begins at {begun}")
    writer = {
        "backup": lambda: spp.BackupAndRestore(folder / "backup", delete_checkpoint=False),
        "file": lambda: spp.ModelCheckpoint(path),
    }[options.way]()
    callbacks = [spp.SPPCallback(), Killer(options.kill), writer]
    model.fit(
        *samples(model, STEPS * BATCH),
        batch_size=BATCH,
        shuffle=False,
        epochs=EPOCHS,
        initial_epoch=begun // STEPS,
        callbacks=callbacks[:: -1 if options.reverse else 1],
        verbose=0,
    )
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=["backup", "file"], default="backup")
    parser.add_argument("--net", choices=["dense", "conv"], default="dense")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--score", default="l1")
    parser.add_argument("--kill", default="never", help="a step, [/writing]")
    parser.add_argument("--reverse", action="store_true", help="the callbacks' order")
    parser.add_argument("--beside", type=Path, help="then an undisturbed run in this folder")
    options = parser.parse_args()
    for folder in (options.folder, options.beside):
        if folder is not None:
            folder.mkdir(exist_ok=True)
            model = run(options, folder)
            # By number, since Keras gives variables other names when it loads a model.
            values = {str(number): value for number, (_, value) in enumerate(state(model))}
            steps = np.asarray(int(model.optimizer.iterations))
            np.savez(folder / "state.npz", steps=steps, **values)
            print(spp.Pruner(model).progress())


if __name__ == "__main__":
    main()
