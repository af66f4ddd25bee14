"""Small networks to prune and train, and everything that a training step may change."""

import numpy as np

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.both_keras import BACKEND, L, keras
from tests.helpers.random_weights import random_probabilities, randomize
from tests.helpers.wrappers import find_wrappers


def conv_net(normalised=True, synchronized=False, **options):
    """Three layers that read prunable channels: two convolutions and a dense head."""
    x = inputs = keras.Input((6, 6, 3), name="image")
    x = L.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(x)
    if normalised:
        x = L.BatchNormalization(name="normalisation", synchronized=synchronized)(x)
    x = L.ReLU(name="relu")(x)
    x = L.Conv2D(12, 3, activation="relu", name="inner", **options)(x)
    x = L.Conv2D(8, 1, activation="relu", name="last", **options)(x)
    x = L.GlobalAveragePooling2D(name="pooling")(x)
    return randomize(keras.Model(inputs, L.Dense(4, name="head", dtype="float32")(x)))


def plain_net():
    """The same without normalisation, whose statistics depend on how a batch is split."""
    return conv_net(normalised=False)


def dense_net():
    """Sixteen channels in two layers, which take little to trace or to run eagerly."""
    layers = [L.Dense(10, "tanh", name="a"), L.Dense(6, "tanh", name="b"), L.Dense(2, name="c")]
    return randomize(keras.Sequential([keras.Input((4,)), *layers]))


def samples(seed=0, count=8):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 4)).astype("float32"), random.normal(size=(count, 2)).astype(
        "float32"
    )


def fit_dense(pruned, steps, callbacks=None, batch=4, **options):
    x, y = samples(count=steps * batch)
    callbacks = [spp.SPPCallback()] if callbacks is None else callbacks
    options = {"verbose": 0, "shuffle": False, **options}
    return pruned.fit(x, y, batch_size=batch, callbacks=callbacks, **options)


def prune(model=None, *, A=0.3, frequency=1, goal=0.5, granularity="channel", seed=0, **options):
    """The network, prepared so that it is pruned within some 20 updates."""
    schedule = spp.SPPSchedule(A=A, frequency=frequency, **options)
    return spp.prune(
        model or conv_net(), goal, granularity=granularity, schedule=schedule, round_to=1, seed=seed
    )


def settled(pruned, seed):
    """Random probabilities, with zeros where p = 1 as training would have left them."""
    pruner = random_probabilities(pruned, seed)
    for wrapper in pruner.wrappers:
        wrapper.zero_pruned()
    return pruner


def sgd(rate=0.01, **options):
    return keras.optimizers.SGD(rate, **options)


def compiled(pruned, optimizer=None, **options):
    if keras.__name__ == "keras" and BACKEND == "tensorflow":
        options = {
            "jit_compile": False,
            **options,
        }  # XLA takes seconds for what runs in milliseconds
    pruned.compile(optimizer or sgd(), "mse", **options)
    return pruned


def data(steps, batch=4, seed=0):
    """(x, y) of so many steps."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(steps * batch, 6, 6, 3)).astype("float32")
    return x, random.normal(size=(len(x), 4)).astype("float32")


def fit(pruned, steps, callbacks=None, start=0, batch=4, **options):
    """Runs these steps of one fixed sequence of batches in `fit`."""
    x, y = (array[start * batch :] for array in data(start + steps, batch))
    callbacks = [spp.SPPCallback()] if callbacks is None else callbacks
    options = {"verbose": 0, "shuffle": False, **options}
    return pruned.fit(x, y, batch_size=batch, callbacks=callbacks, **options)


def state(pruned, optimizer=True):
    """Name and value of every variable that the model and its optimizer have."""
    variables = list(pruned.weights)
    if optimizer:
        variables += list(pruned.optimizer.variables)
    read = frameworks.of(pruned).read
    return [(variable.name, np.array(read(variable))) for variable in variables]


def predicted_mask(wrapper, step):
    """A step's mask over the weights, from the documented formula of tf_keras alone."""
    import tensorflow as tf

    kept, start = [], 0
    for entry in wrapper.sets:
        p = wrapper.p[start : start + entry["size"]]
        uniform = tf.random.stateless_uniform(
            [entry["size"]], seed=tf.constant([entry["seed"], step], tf.int64)
        )
        kept.append(tf.cast(uniform >= p, tf.float32))
        start += entry["size"]
    mask = wrapper.masked[0].spread(tf.concat(kept, 0)).numpy()
    return np.broadcast_to(mask, wrapper.masked[0].weight.shape) > 0


def pruned_part(pruned):
    """The values of all weights that are pruned for good."""
    read, parts = frameworks.of(pruned).read, []
    for wrapper in find_wrappers(pruned):
        for masked in wrapper.masked:
            weight = read(masked.weight)
            mask = np.broadcast_to(read(masked.spread(wrapper.mask)), weight.shape)
            parts.append(weight[mask == 0])
    return np.concatenate(parts)


def pruned_part_is_zero(pruned):
    """Whether some groups are pruned and all their weights are 0."""
    part = pruned_part(pruned)
    return part.size > 0 and not part.any()


def train_step(pruned, optimizer, x, y):
    """A step of a loop of one's own with tf_keras."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((pruned(x, training=True) - y) ** 2)
    gradients = tape.gradient(loss, pruned.trainable_variables)
    optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))


def begin_step(pruner, pruned):
    """Lets happen what begins a training step, an update perhaps."""
    if keras.__name__ == "keras":
        pruner.begin_step()
    else:
        pruned(data(1)[0], training=True)


def updates_made(pruner):
    return int(pruner.conductor.updates_made)
