"""Small networks of Keras 3 to prune and train, on whatever backend Keras has."""

import keras
import numpy as np

import keras_spp as spp
from tests.helpers.wrappers import find_wrappers
from tests.zoo.keras3_models import L, randomize

BACKEND = keras.backend.backend()


def conv_net(kind=keras.Model):
    """Three layers that read prunable channels: two convolutions and a dense head."""
    x = inputs = keras.Input((6, 6, 3), name="image")
    x = L.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(x)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="normalisation")(x))
    x = L.Conv2D(12, 3, activation="relu", name="inner")(x)
    x = L.Conv2D(8, 1, activation="relu", name="last")(x)
    x = L.GlobalAveragePooling2D(name="pooling")(x)
    return randomize(kind(inputs, L.Dense(4, name="head", dtype="float32")(x)))


def dense_net(kind=keras.Model):
    """Sixteen channels in two layers, which take little to trace or to run eagerly."""
    x = inputs = keras.Input((4,), name="x")
    x = L.Dense(10, "tanh", name="a")(x)
    x = L.Dense(6, "tanh", name="b")(x)
    return randomize(kind(inputs, L.Dense(2, name="c", dtype="float32")(x)))


def prune(model=None, *, goal=0.5, granularity="channel", seed=0, data=None, **options):
    """The network, prepared so that it is pruned within some 20 updates."""
    schedule = spp.SPPSchedule(**{"A": 0.3, "frequency": 1, **options})
    return prune_by(schedule, model, goal=goal, granularity=granularity, seed=seed, data=data)


def prune_by(schedule, model=None, *, goal=0.5, granularity="channel", seed=0, data=None):
    """The same by another schedule."""
    return spp.prune(
        dense_net() if model is None else model, goal, granularity=granularity, schedule=schedule,
        round_to=1, seed=seed, representative_data=data,
    )  # fmt: skip


def compiled(model, optimizer=None, **options):
    """Without XLA on TensorFlow, where it takes seconds for what runs in milliseconds."""
    options = {"jit_compile": False if BACKEND == "tensorflow" else "auto", **options}
    model.compile(keras.optimizers.SGD(0.02) if optimizer is None else optimizer, "mse", **options)
    return model


def samples(model, count, seed=0):
    """(x, y) as a model with one input and one output takes them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, *model.inputs[0].shape[1:])).astype("float32")
    return x, random.normal(size=(count, *model.outputs[0].shape[1:])).astype("float32")


def fit(model, steps, callbacks=None, *, batch=4, seed=0, **options):
    callbacks = [spp.SPPCallback()] if callbacks is None else callbacks
    options = {"verbose": 0, "shuffle": False, **options}
    x, y = samples(model, steps * batch, seed)
    return model.fit(x, y, batch_size=batch, callbacks=callbacks, **options)


def read(variable):
    return keras.ops.convert_to_numpy(variable)


def state(model, optimizer=True):
    """Name and value of every variable that a model and its optimizer have."""
    own = list(model.weights)
    if optimizer:
        own += list(model.optimizer.variables)
    return [(variable.path, np.array(read(variable))) for variable in own]


def predicted(p, seed, step):
    """Which groups take part in a step, in the integers of NumPy: the documented hash."""

    def mixed(bits):
        for by, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            bits = (bits ^ (bits >> np.uint32(by))) * np.uint32(factor)
        return bits ^ (bits >> np.uint32(16))

    with np.errstate(over="ignore"):
        start = mixed(mixed(np.uint32(seed)) ^ np.uint32(step))
        bits = mixed(start + np.arange(len(p), dtype=np.uint32) * np.uint32(0x9E3779B9))
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24) >= p


def predicted_groups(wrapper, step, p=None):
    """The same for all groups of a wrapper, 0 and 1."""
    p, kept, start = read(wrapper.p) if p is None else p, [], 0
    for entry in wrapper.sets:
        kept.append(predicted(p[start : start + entry["size"]], entry["seed"], step))
        start += entry["size"]
    return np.concatenate(kept).astype("float32")


def spread(masked, groups):
    """What each element of a masked weight is multiplied with."""
    values = read(masked.spread(keras.ops.convert_to_tensor(groups)))
    return np.broadcast_to(values, masked.weight.shape)


def settled(pruned, seed):
    """Random probabilities, with zeros where p = 1 as training would have left them."""
    pruner = spp.Pruner(pruned)
    p = np.random.default_rng(seed).uniform(0, 0.9, len(pruner.values())).astype("float32")
    p[::4] = 1
    pruner.set_probabilities(p)
    for wrapper in pruner.wrappers:
        wrapper.zero_pruned()
    return pruner


def dead_weights(pruned):
    """The values of all weights that are pruned for good."""
    parts = [
        read(masked.weight)[spread(masked, read(wrapper.mask)) == 0]
        for wrapper in find_wrappers(pruned)
        for masked in wrapper.masked
    ]
    return np.concatenate(parts)


class EachStep(keras.callbacks.Callback):
    """Calls a function with the model, its variables up to date, after each step."""

    def __init__(self, look):
        super().__init__()
        self.look = look

    def on_train_batch_end(self, batch, logs=None):
        self.look(self.model)


def masked_twin(pruned, plain, groups):
    """A plain network with the pruned one's weights times these groups' factors, by wrapper."""
    wrappers = {wrapper.name: wrapper for wrapper in find_wrappers(pruned)}
    for layer in plain.layers:
        wrapper = wrappers.get(layer.name)
        source = pruned.get_layer(layer.name) if wrapper is None else wrapper.layer
        for variable, value in zip(layer.weights, source.weights, strict=True):
            variable.assign(np.array(read(value)))  # JAX would share what a step then gives away
        for masked in wrapper.masked if wrapper else ():
            (place,) = [n for n, v in enumerate(source.weights) if v is masked.weight]
            layer.weights[place].assign(read(masked.weight) * spread(masked, groups[wrapper.name]))
    return plain
