"""Models for the tests: hand-made traps, and random graphs over the whole set of rules."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.helpers.compared import inputs_for, relative_error  # noqa: F401
from tests.helpers.random_weights import random_probabilities, randomize  # noqa: F401

L = keras.layers


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
        return self.conv(
            x,
            kernel=self.choose(1, 3),
            activation=self.choose(None, "relu", "sigmoid", "swish"),
            use_bias=bool(self.choose(True, False)),
        )

    def strided(self, x):
        return L.Conv2D(8, 3, strides=2, padding="same")(x) if x.shape[1] >= 4 else x

    def grouped(self, x):
        groups = 2 if x.shape[-1] % 2 == 0 else 1
        return self.conv(x, 8, kernel=3, groups=groups)

    def disguised_depthwise(self, x):
        return self.conv(x, int(x.shape[-1]) * 2, kernel=3, groups=int(x.shape[-1]))

    def depthwise(self, x):
        return L.DepthwiseConv2D(3, padding="same", depth_multiplier=int(self.choose(1, 2)))(x)

    def separable(self, x):
        return L.SeparableConv2D(8, 3, padding="same", depth_multiplier=int(self.choose(1, 2)))(x)

    def transposed(self, x):
        return L.Conv2DTranspose(6, 3, padding="same")(x)

    def dense(self, x):
        return L.Dense(int(self.choose(6, 8)), activation="tanh")(x)

    def normalised(self, x):
        return L.ReLU()(L.BatchNormalization()(x))

    def prelu(self, x):
        return L.PReLU(shared_axes=self.choose(None, [1, 2], [1, 2, 3]))(x)

    def spatial(self, x):
        kind = self.choose("pad", "crop", "up", "max", "avg", "drop", "noise")
        if x.shape[1] < 4 or x.shape[1] > 16:
            kind = "drop"
        layer = {
            "pad": lambda: L.ZeroPadding2D(1),
            "crop": lambda: L.Cropping2D(1),
            "up": lambda: L.UpSampling2D(2),
            "max": lambda: L.MaxPooling2D(2),
            "avg": lambda: L.AveragePooling2D(2, padding="same"),
            "drop": lambda: L.Dropout(0.2),
            "noise": lambda: L.GaussianNoise(0.1),
        }[kind]()
        return layer(x)

    def residual(self, x):
        kind = self.choose(L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, None)
        y = self.conv(self.normalised(self.plain(x)), int(x.shape[-1]))
        return kind()([x, y]) if kind else self.choose(lambda: x + y, lambda: x * y)()

    def constant(self, x):
        vector = self.random.normal(size=x.shape[-1]).astype("float32")
        return self.choose(lambda: x * 2.0 + 1.0, lambda: 1.0 - x, lambda: x * vector + vector)()

    def gate(self, x):
        y = L.GlobalAveragePooling2D(keepdims=True)(x)
        y = self.conv(y, 4, activation="relu")
        return L.Multiply()([x, self.conv(y, int(x.shape[-1]), activation="sigmoid")])

    def spatial_gate(self, x):
        return L.Multiply()([x, self.conv(x, 1, kernel=3, activation="sigmoid")])

    def mean_gate(self, x):
        return x * tf.sigmoid(tf.reduce_mean(x, axis=-1, keepdims=True))

    def dense_block(self, x):
        for _ in range(2):
            x = L.Concatenate()([x, self.conv(self.normalised(x), 4, kernel=3)])
        return x

    def inception(self, x):
        branches = [self.conv(x, 4), self.conv(self.conv(x, 4), 6, kernel=3), x]
        return tf.concat(branches, -1)

    def split(self, x):
        first = max(1, int(x.shape[-1]) // 3)
        left, right = tf.split(x, [first, int(x.shape[-1]) - first], axis=-1)
        return L.Concatenate()([self.conv(left, 4), right])

    def halves(self, x):
        if x.shape[-1] % 2:
            return x
        left, right = tf.split(x, 2, axis=-1)
        return left + right

    def shuffle(self, x):
        _, h, w, c = x.shape
        if c % 2:
            return x
        y = tf.reshape(x, [-1, h, w, 2, c // 2])
        return tf.reshape(tf.transpose(y, [0, 1, 2, 4, 3]), [-1, h, w, c])

    def padded(self, x):
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [1, 2]])

    def shortcut_a(self, x):
        if x.shape[1] < 4:
            return x
        y = self.conv(x, int(x.shape[-1]) + 4, kernel=3, strides=2)
        return tf.nn.relu(y + tf.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [2, 2]]))

    def sliced(self, x):
        return x[..., : max(1, int(x.shape[-1]) - 2)] if self.choose(0, 1) else x[..., 1:, :, :]

    def frozen(self, x):
        return self.choose(L.LayerNormalization(), L.Softmax(), L.Lambda(lambda v: v[..., ::-1]))(x)

    def strided_channels(self, x):
        return x[..., ::2]

    def shared(self, x):
        layer = L.Conv2D(int(x.shape[-1]), 3, padding="same", activation="relu")
        return layer(layer(x))

    def siamese(self, x):
        layer, other = L.Conv2D(6, 1), self.conv(x, int(x.shape[-1]))
        return L.Concatenate()([layer(x), layer(other)])

    def nested(self, x):
        inner = keras.Input(x.shape[1:])
        y = Builder(int(self.random.integers(1 << 30))).body(inner, steps=3)
        return keras.Model(inner, y)(x)

    def nested_twice(self, x):
        model = keras.Sequential(
            [keras.Input(x.shape[1:]), L.Conv2D(5, 1, activation="relu"), L.BatchNormalization(),
             L.Conv2D(int(x.shape[-1]), 1)]
        )  # fmt: skip
        return model(x) + model(model(x))

    def permuted(self, x):
        return L.Permute((2, 1, 3))(x)

    def flat_and_back(self, x):
        _, h, w, c = x.shape
        y = L.Reshape((h * w, c))(x)
        return L.Reshape((h, w, c))(L.ReLU()(y))

    def gathered(self, x):
        return tf.gather(x, self.random.permutation(int(x.shape[-1]))[:6], axis=-1)

    def leaky(self, x):
        return tf.where(x > 0, x, 0.1 * x)

    def instance_normalised(self, x):
        return L.GroupNormalization(groups=-1)(x)

    def stacked(self, x):
        return tf.reduce_max(tf.stack([x, self.conv(x, int(x.shape[-1]))], axis=-1), -1)

    def dynamically_reshaped(self, x):
        _, h, w, c = x.shape
        return tf.reshape(tf.reshape(x, [tf.shape(x)[0], -1, c]), [-1, h, w, c])

    def function(self, x):
        kernel = self.random.normal(size=(3, 3, x.shape[-1], 6)).astype("float32") / 5
        return tf.nn.conv2d(x, tf.Variable(kernel), 1, "SAME")

    def squeezed(self, x):
        y = L.Dense(int(x.shape[-1]), "sigmoid")(tf.reduce_mean(x, [1, 2]))
        return x * y[:, tf.newaxis, tf.newaxis]

    def row_by_row(self, x):
        inner = keras.Input(x.shape[2:])
        y = L.Conv1D(6, 3, padding="same", activation="relu")(inner)
        return L.TimeDistributed(keras.Model(inner, L.Conv1D(5, 1)(y)))(x)

    def body(self, x, steps):
        names = [
            name
            for name in sorted(vars(Builder))
            if not name.startswith("_") and name not in ("choose", "conv", "body", "head", "build")
        ]
        x = self.plain(x)
        for _ in range(steps):
            x = getattr(self, str(self.choose(*names)))(x)
        return x

    def head(self, x):
        kind = self.choose("gap", "flatten", "map", "both", "sequence", "recurrent")
        if kind == "gap":
            return L.Dense(5)(L.GlobalAveragePooling2D()(x))
        if kind == "flatten":
            return L.Dense(5)(L.Dense(8, activation="relu")(L.Flatten()(x)))
        if kind == "map":
            return L.Conv2D(3, 1)(x)
        if kind == "sequence":
            _, h, w, c = x.shape
            return L.Dense(4)(L.Conv1D(6, 3, padding="same")(L.Reshape((h, w * c))(x)))
        if kind == "recurrent":
            _, h, w, c = x.shape
            layer = self.choose(L.LSTM(6), L.Bidirectional(L.GRU(5)))
            return L.Dense(4)(layer(L.Reshape((h, w * c))(x)))
        return [L.Dense(5)(L.GlobalMaxPooling2D()(x)), x]

    def build(self, steps=6):
        x = keras.Input((8, 8, 3))
        return keras.Model(x, self.head(self.body(x, steps)))


def random_model(seed, steps=6):
    """A random functional model with random weights; the seed decides everything."""
    return randomize(Builder(seed).build(steps), seed)
