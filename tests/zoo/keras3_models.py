"""Models of Keras 3 for the tests: random graphs over its layers and functions."""

import keras
import numpy as np

L, ops = keras.layers, keras.ops


def randomize(model, seed=0, gain=2.0):
    """Random weights that keep the signal alive, with normalisation far from the identity."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "variance" in variable.name:
            value = random.uniform(0.1, 1.0, shape)
        elif "gamma" in variable.name:
            value = random.uniform(0.7, 1.7, shape)
        elif len(shape) > 1:
            inputs = shape[:-2] if "depthwise" in variable.path else shape[:-1]
            value = random.normal(size=shape) * np.sqrt(gain / np.prod(inputs))
        else:
            value = random.normal(scale=0.3, size=shape)
        variable.assign(value)
    return model


def inputs_for(model, seed=1, batch=3):
    """Random inputs, as the model takes them."""
    random = np.random.default_rng(seed)
    arrays = [
        random.normal(size=(batch, *tensor.shape[1:])).astype("float32") for tensor in model.inputs
    ]
    return arrays[0] if len(arrays) == 1 else keras.tree.pack_sequence_as(model.input, arrays)


def outputs(model, inputs):
    """What a model computes in inference, flat."""
    return list(map(ops.convert_to_numpy, keras.tree.flatten(model(inputs, training=False))))


class Builder:
    """Draws a random network, layer by layer."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def choose(self, *options):
        return options[self.random.integers(len(options))]

    def conv(self, x, filters=None, **options):
        filters = filters or int(self.choose(4, 6, 8, 12))
        return L.Conv2D(filters, options.pop("kernel", 1), padding="same", **options)(x)

    def plain(self, x):
        activation = self.choose(None, "relu", "sigmoid", "hard_silu")
        use_bias = bool(self.choose(True, False))
        return self.conv(x, kernel=self.choose(1, 3), activation=activation, use_bias=use_bias)

    def grouped(self, x):
        groups = 2 if x.shape[-1] % 2 == 0 else 1
        return self.conv(x, 8, kernel=3, groups=groups)

    def depthwise(self, x):
        return L.DepthwiseConv2D(3, padding="same", depth_multiplier=int(self.choose(1, 2)))(x)

    def separable(self, x):
        return L.SeparableConv2D(8, 3, padding="same", depth_multiplier=int(self.choose(1, 2)))(x)

    def transposed(self, x):
        return L.Conv2DTranspose(6, 3, padding="same")(x)

    def dense(self, x):
        return L.Dense(int(self.choose(6, 8)), activation="tanh")(x)

    def einsum_dense(self, x):
        return L.EinsumDense("bhwc,cd->bhwd", (*x.shape[1:3], 6), bias_axes="d")(x)

    def normalised(self, x):
        return L.ReLU()(L.BatchNormalization()(x))

    def prelu(self, x):
        return L.PReLU(shared_axes=self.choose([1, 2], [1, 2, 3]))(x)

    def residual(self, x):
        kind = self.choose(L.Add, L.Subtract, L.Multiply, L.Maximum, ops.add, ops.multiply)
        y = self.conv(self.normalised(self.plain(x)), int(x.shape[-1]))
        return kind()([x, y]) if isinstance(kind, type) else kind(x, y)

    def constant(self, x):
        vector = self.random.normal(size=x.shape[-1]).astype("float32")
        made = self.choose(
            lambda: x * 2.0 + 1.0, lambda: 1.0 - x, lambda: ops.maximum(x * vector, -vector)
        )
        return made()

    def gate(self, x):
        y = L.GlobalAveragePooling2D(keepdims=True)(x)
        y = self.conv(y, 4, activation="relu")
        return L.Multiply()([x, self.conv(y, int(x.shape[-1]), activation="sigmoid")])

    def mean_gate(self, x):
        return x * ops.sigmoid(ops.mean(x, axis=-1, keepdims=True))

    def space_gate(self, x):
        return x * ops.softmax(ops.sum(x, axis=2, keepdims=True), axis=1)

    def dense_block(self, x):
        for _ in range(2):
            y = self.conv(self.normalised(x), 4, kernel=3)
            x = self.choose(L.Concatenate(), lambda parts: ops.concatenate(parts, axis=-1))([x, y])
        return x

    def split(self, x):
        places = self.choose(2, [2, 3]) if x.shape[-1] % 2 == 0 else [1]
        parts = ops.split(x, places, axis=-1)
        return ops.concatenate([parts[-1], *parts[:-1]], axis=-1)

    def sliced(self, x):
        part = self.choose(x[..., 1:], x[..., :-1], x[:, :, :, 1:4])
        return self.conv(part)

    def shuffled(self, x):
        _, high, wide, channels = x.shape
        if channels % 2:
            return x
        y = ops.reshape(x, (-1, high, wide, 2, channels // 2))
        return ops.reshape(ops.transpose(y, (0, 1, 2, 4, 3)), (-1, high, wide, channels))

    def turned(self, x):
        y = ops.transpose(x, (0, 3, 1, 2))
        y = self.choose(ops.relu, ops.silu, lambda t: ops.clip(t, -1.0, 1.0))(y)
        return ops.moveaxis(y, 1, -1)

    def sequence(self, x):
        _, high, wide, channels = x.shape
        y = ops.reshape(x, (-1, high * wide, channels))
        y = L.Conv1D(int(channels), 3, padding="same")(y)
        return ops.reshape(y, (-1, high, wide, channels))

    def padded(self, x):
        return ops.pad(x, [(0, 0), (1, 0), (0, 1), self.choose((0, 0), (1, 2))])

    def taken(self, x):
        order = self.random.permutation(x.shape[-1])[: max(2, x.shape[-1] - 1)]
        return ops.take(x, order.tolist(), axis=-1)

    def stacked(self, x):
        return ops.sum(ops.stack([x, self.conv(x, int(x.shape[-1]))], axis=3), axis=3)

    def pooled(self, x):
        y = self.choose(
            lambda: ops.max_pool(x, 2, strides=1, padding="same", data_format="channels_last"),
            lambda: L.AveragePooling2D(2, strides=1, padding="same")(x),
            lambda: ops.repeat(x[:, ::2], 2, axis=1),
        )
        return y()

    def nested(self, x):
        inner = keras.Input(x.shape[1:])
        y = self.plain(self.choose(self.normalised, self.depthwise, self.split)(inner))
        return keras.Model(inner, y)(x)

    def sequential(self, x):
        return keras.Sequential([L.Conv2D(6, 1), L.BatchNormalization(), L.ReLU()])(x)

    def shared(self, x):
        layer = L.Conv2D(int(x.shape[-1]), 3, padding="same", activation="relu")
        return layer(layer(x))

    def repeated(self, x):
        return L.TimeDistributed(L.Conv1D(6, 3, padding="same"))(x)

    def lstm(self, x):
        _, high, wide, channels = x.shape
        y = ops.reshape(x, (-1, high * wide, channels))
        made = self.choose(
            L.LSTM(6, return_sequences=True), L.Bidirectional(L.GRU(4, return_sequences=True))
        )(y)
        return ops.reshape(made, (-1, high, wide, made.shape[-1]))


STEPS = sorted(set(vars(Builder)) - {"__init__", "choose", "conv"} - set(vars(object)))
STEPS = [name for name in STEPS if not name.startswith("__")]


def random_model(seed, depth=5):
    """A network of random steps, with one or two inputs and outputs."""
    keras.utils.set_random_seed(seed)
    build = Builder(seed)
    inputs = [keras.Input((4, 4, 3)) for _ in range(build.choose(1, 1, 2))]
    x = build.conv(inputs[0], kernel=3)
    if len(inputs) == 2:
        x = ops.concatenate([x, build.conv(inputs[1])], axis=-1)
    middle = x
    for number in range(depth):
        x = getattr(build, build.choose(*STEPS))(x)
        if number == depth // 2:
            middle = x
    ends = [L.Dense(3)(L.Flatten()(x))]
    if build.choose(False, True):
        ends.append(L.Dense(2)(ops.mean(middle, axis=(1, 2))))
    return randomize(keras.Model(inputs, ends), seed)


def step_model(name, seed=0):
    """A network with one kind of step between convolutions."""
    keras.utils.set_random_seed(seed)
    build = Builder(seed)
    inputs = keras.Input((4, 4, 3))
    x = getattr(build, name)(build.conv(inputs, 8, kernel=3))
    x = build.conv(x, 6, kernel=3, activation="relu")
    return randomize(keras.Model(inputs, L.Dense(3)(L.Flatten()(x))), seed)
