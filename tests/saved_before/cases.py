"""The networks that were saved in the middle of pruning, and how to look into them.

What is written of each, `make.py` says.
"""

import itertools
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

# As in conftest.py: where these kernels are off convolutions round otherwise.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp

FOLDER = Path(__file__).parent
HALF, STEPS, BATCH = 15, 30, 4  # an epoch has HALF steps
INTERRUPTED, SAVE_FREQ = 23, 5  # in the middle of an epoch, three steps after a backup
L = keras.layers


# -- what reaches into the package: adapt it here, and nowhere else ------------------------------


def state_of_pruning(model):
    """The probability of each group, and of each masked weight which positions are alive."""
    pruner = spp.Pruner(model)
    alive = [mask.ravel() for mask in pruner.alive().values()]
    return {"p": pruner.probabilities().numpy(), "alive": np.concatenate(alive)}


def drawn(model):
    """The masks of the training step that has just ended, of all wrapped layers."""
    model.optimizer.iterations.assign_sub(1)  # masks are a function of this and of p
    try:
        masks = [wrapper.sampled().numpy() > 0 for wrapper in spp.Pruner(model).wrappers]
    finally:
        model.optimizer.iterations.assign_add(1)
    return np.concatenate(masks)


# -- networks ------------------------------------------------------------------------------------

# All layers have names, as the seeds of masks depend on them. A bias before a normalisation is
# trained by rounding errors alone, so there are none: these runs have to be alike on all machines.


def residual():
    """A stem, a residual block, a depthwise layer, a model in the model, a head."""
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    x = skip = L.ReLU(name="stem_relu")(L.BatchNormalization(name="stem_bn")(x))
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="left")(x)
    x = L.ReLU(name="left_relu")(L.BatchNormalization(name="left_bn")(x))
    x = L.Conv2D(8, 3, padding="same", name="right")(x)
    x = L.ReLU(name="joined_relu")(L.Add(name="joined")([x, skip]))
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = L.ReLU(name="depthwise_relu")(L.BatchNormalization(name="depthwise_bn")(x))
    inside = keras.Input((8, 8, 8), name="inside")
    y = L.Conv2D(12, 1, activation="relu", name="wide")(inside)
    y = L.Conv2D(8, 1, activation="relu", name="narrow")(y)
    x = keras.Model(inside, y, name="nested")(x)
    x = L.GlobalAveragePooling2D(name="pooling")(x)
    return keras.Model(inputs, L.Dense(4, name="head")(x), name="residual")


def flat():
    """A grouped convolution, a layer that is called twice, a flat head."""
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = L.Conv2D(6, 3, groups=2, padding="same", activation="relu", name="grouped")(x)
    shared = L.Conv2D(6, 3, padding="same", activation="tanh", name="shared")
    x = L.Conv2D(4, 1, use_bias=False, name="last")(shared(shared(x)))
    x = L.BatchNormalization(name="bn")(x)
    return keras.Model(inputs, L.Dense(4, name="head")(L.Flatten(name="flatten")(x)), name="flat")


def small():
    """Two convolutions and two dense layers."""
    layers = [
        L.Conv2D(8, 3, strides=2, activation="relu", name="first"),
        L.Conv2D(8, 3, activation="relu", name="second"),
        L.Flatten(name="flatten"),
        L.Dense(8, activation="tanh", name="hidden"),
        L.Dense(4, name="head"),
    ]
    return keras.Sequential([keras.Input((8, 8, 3), name="image"), *layers], name="small")


def any_size():
    """An input whose height and width are open, and the package's own layer."""
    x = inputs = keras.Input((None, None, 3), name="image")
    for name, filters in (("first", 8), ("second", 12)):
        x = spp.PrunableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = L.ReLU(name=f"{name}_relu")(L.BatchNormalization(name=f"{name}_bn")(x))
    x = L.GlobalAveragePooling2D(name="pooling")(x)
    return keras.Model(inputs, L.Dense(4, name="head")(x), name="any_size")


# -- cases ---------------------------------------------------------------------------------------


def adam():
    """Epsilon keeps it from making a whole step of what is no more than rounding."""
    rate = keras.optimizers.schedules.CosineDecay(0.01, STEPS)
    return keras.optimizers.Adam(rate, epsilon=1e-2)


def momentum():
    return keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)


FILES = ("model.keras", "model.h5")
WHOLE_FORMS = (*FILES, "checkpoint", "backup", "last.weights.h5", "weights")
BARE_FORMS = ("saved_model", "weights.h5")  # without the optimizer


@dataclass(frozen=True)
class Case:
    """How a network is pruned, and the forms in which it is saved."""

    network: object  # None: what is left of the case "gradual"
    optimizer: object
    forms: tuple[str, ...]
    options: dict

    def prune(self, dense):
        return spp.prune(dense, **self.options)


CASES = {
    "channel": Case(
        residual,
        adam,
        (*WHOLE_FORMS, *BARE_FORMS),
        {
            "pruning_ratio": 0.5,
            "schedule": spp.SPPSchedule(A=0.3, frequency=2),
            "round_to": 2,
        },
    ),
    "column": Case(
        flat,
        momentum,
        (*WHOLE_FORMS, *BARE_FORMS),
        {
            "target_speedup": 2.0,
            "granularity": "column",
            "schedule": spp.SPPSchedule(A=0.25, frequency=2),
            "round_to": 1,
            "counted": "convolutions",
            "seed": 3,
        },
    ),
    "gradual": Case(
        small,
        adam,
        (*FILES, "checkpoint"),
        {
            "pruning_ratio": {"first": 0.5, "second": 0.25, "hidden": 0.5},
            "schedule": spp.GradualSchedule(
                updates=8, power=1.0, frequency=3, score="taylor", score_decay=0.5
            ),
            "round_to": 1,
        },
    ),
    "planned": Case(  # the callback chooses the frequency
        any_size,
        momentum,
        # No .h5: tf_keras looks for PrunableConv2D there by its bare name, in vain.
        ("model.keras", "checkpoint"),
        {
            "target_speedup": 1.8,
            "schedule": spp.SPPSchedule(
                A=0.1,
                begin_step=2,
                overshoot=0.2,
                score="bn_scale",
                evaluation="sampled",
                scale_survivors=True,
            ),
            "round_to": 1,
            "input_shape": (8, 8, 3),
        },
    ),
    "oneshot": Case(
        small,
        momentum,
        FILES,
        {
            "pruning_ratio": 0.5,
            "schedule": spp.OneShotSchedule(begin_step=20, score="l2"),
            "round_to": 4,
        },
    ),
    "again": Case(  # the second round of a network that was pruned before
        None,
        momentum,
        ("model.keras",),
        {"pruning_ratio": 0.5, "schedule": spp.SPPSchedule(A=0.3, frequency=1), "round_to": 1},
    ),
}


EXPORTED = {"gradual": "exported", "again": "again_exported"}  # archive, by case


def repeatable():
    """Sums are rounded by how they are split among threads. To be called before anything else."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


# -- data and training ---------------------------------------------------------------------------


def data():
    """(images, targets) of all steps: multiples of 1/16, which every machine makes alike."""
    random = np.random.default_rng(7)
    images = random.integers(-32, 33, (STEPS * BATCH, 8, 8, 3)) / 16
    targets = random.integers(-16, 17, (STEPS * BATCH, 4)) / 16
    return images.astype("float32"), targets.astype("float32")


class Batches(keras.callbacks.Callback):
    """Gives each step the batch that belongs to it; listed after what restores the step."""

    def __init__(self):
        super().__init__()
        self.images, self.targets = data()
        self.start = 0

    def on_train_begin(self, logs=None):
        # Here and not in `steps`: tf.data calls that while the first step is under way, and the
        # step may have been counted by then.
        self.start = int(self.model.optimizer.iterations)

    def steps(self):
        for step in itertools.count(self.start):
            places = slice(step % STEPS * BATCH, (step % STEPS + 1) * BATCH)
            yield self.images[places], self.targets[places]


def fit(model, callbacks=(), epochs=2):
    """Goes on to the end of the last epoch."""
    batches = Batches()
    signature = (tf.TensorSpec((BATCH, 8, 8, 3)), tf.TensorSpec((BATCH, 4)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SPP (has not met|will not reach|may not reach)")
        model.fit(
            tf.data.Dataset.from_generator(batches.steps, output_signature=signature),
            steps_per_epoch=HALF,
            epochs=epochs,
            initial_epoch=int(model.optimizer.iterations) // HALF,
            callbacks=[*callbacks, batches],
            verbose=0,
        )
    return model


class Recorder(keras.callbacks.Callback):
    """What was drawn in each step, by the step's number."""

    def __init__(self):
        super().__init__()
        self.steps = {}

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations) - 1
        self.steps[step] = {"p": state_of_pruning(self.model)["p"], "drawn": drawn(self.model)}

    def arrays(self):
        """Each kind as one array, a step in a row, with the steps' numbers."""
        steps = sorted(self.steps)
        kinds = {key: np.stack([self.steps[each][key] for each in steps]) for key in ("p", "drawn")}
        return {"step": np.array(steps), **kinds}


def weights_of(model):
    """Values by number, as tf_keras gives variables other names when it loads a model."""
    return {f"weight {n:03}": value for n, value in enumerate(model.get_weights())}


def everything(model):
    """All variables of a model and its optimizer."""
    slots = {f"slot {n:03}": each.numpy() for n, each in enumerate(model.optimizer.variables)}
    return {**weights_of(model), **slots}


def outputs_of(model):
    return model(data()[0][:8], training=False).numpy()


def shrunk(pruned):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "shrink: .* groups are still to be pruned")
        return spp.shrink(pruned)


def canary(dense, case):
    """What plain tf_keras makes of the dense network with the case's optimizer."""
    dense.compile(case.optimizer(), "mse")
    fit(dense)
    return {**everything(dense), "outputs": outputs_of(dense)}


def compiled(pruned, case):
    pruned.compile(case.optimizer(), "mse")
    return pruned


def checkpoint_of(pruned):
    """As docs/how-to/resume.md makes it; the optimizer's slots have to be there."""
    pruned.optimizer.build(pruned.trainable_variables)
    return tf.train.Checkpoint(model=pruned, optimizer=pruned.optimizer)


def size_of(path):
    """Bytes of a file without what keras_spp says of it, which takes no time."""
    try:
        said = len(json.dumps(spp.read_metadata(path)))
    except ValueError:  # a layer's
        said = 0
    return Path(path).stat().st_size - said


class Board(spp.Device):
    """A board that is not there: a file takes as long as it is large."""

    def __init__(self, cache):
        super().__init__("ssh://somebody@board.example", threads=2, cache=cache)
        self.timed = set()

    def time(self, paths):
        named = paths if isinstance(paths, dict) else {"dense": paths}
        self.timed |= set(named)
        sizes = {name: size_of(path) for name, path in named.items()}
        first = next(iter(sizes.values()))

        class Report(list):
            system = "a board"

        return Report(
            SimpleNamespace(name=name, median_ms=size / 1000, ratio=first / size)
            for name, size in sizes.items()
        )


def measuring(folder):
    """Options of two prunes of the dense network of "channel" that keep what they measure."""
    return {
        "sensitivity.json": {
            "target_speedup": 1.5,
            "allocation": spp.Sensitivity(
                batches=2, points=3, cache=folder / "sensitivity.json", verbose=0
            ),
            "representative_data": data()[0][:64],
            "round_to": 2,
        },
        "latency.json": {
            "target_latency": 0.7,
            "device": Board(folder / "latency.json"),
            "round_to": 2,
        },
    }


# -- writing -------------------------------------------------------------------------------------


def dense_model(folder):
    return keras.models.load_model(folder / "dense.keras", compile=False)
