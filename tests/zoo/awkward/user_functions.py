"""Functions of their authors' own."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.rules import merged, rule
from tests.zoo.awkward.registry import conv, head, on, own, unit
from tests.zoo.models import L


@keras.saving.register_keras_serializable(package="tests")
def hard_swish(x):
    return x * tf.nn.relu6(x + 3.0) / 6.0


@keras.saving.register_keras_serializable(package="tests")
def hard_sigmoid(x):
    return tf.nn.relu6(x + 3.0) / 6.0


def normalised(x):
    return L.BatchNormalization()(x)


# Of each block: expanded channels, channels, kernel, stride, squeeze and excite, hard swish.
BLOCKS = [
    (16, 16, 3, 2, True, False), (72, 24, 3, 2, False, False), (88, 24, 3, 1, False, False),
    (96, 40, 5, 2, True, True), (240, 40, 5, 1, True, True), (240, 40, 5, 1, True, True),
    (120, 48, 5, 1, True, True), (144, 48, 5, 1, True, True), (288, 96, 5, 2, True, True),
    (576, 96, 5, 1, True, True), (576, 96, 5, 1, True, True),
]  # fmt: skip


def inverted_residual(x, wide, filters, kernel, stride, excited, swish):
    given = x
    act = L.Activation(hard_swish if swish else tf.nn.relu)
    if wide != x.shape[-1]:
        x = L.Activation(act.activation)(normalised(conv(x, wide, 1, use_bias=False)))
    x = L.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False)(x)
    x = act(normalised(x))
    if excited:
        gate = L.GlobalAveragePooling2D(keepdims=True)(x)
        gate = conv(gate, max(8, (wide // 4 + 4) // 8 * 8), 1, activation="relu")
        x = L.Multiply()([x, L.Activation(hard_sigmoid)(conv(gate, wide, 1))])
    x = normalised(conv(x, filters, 1, use_bias=False))
    return L.Add()([given, x]) if stride == 1 and given.shape[-1] == filters else x


@on(64, 64, 3)
def mobilenet_v3_with_its_own_hard_swish(x):
    x = L.Activation(hard_swish)(normalised(conv(x, 16, strides=2, use_bias=False)))
    for block in BLOCKS:
        x = inverted_residual(x, *block)
    x = L.Activation(hard_swish)(normalised(conv(x, 576, 1, use_bias=False)))
    x = L.Lambda(hard_swish)(conv(L.GlobalAveragePooling2D(keepdims=True)(x), 1024, 1))
    return L.Flatten()(conv(L.Dropout(0.2)(x), 10, 1))


@on(65, 65, 3)
def deeplab_with_resizes_in_lambdas(x):
    def resized(x, like):
        return L.Lambda(lambda t, to=like.shape[1:3]: tf.image.resize(t, to))(x)

    image = x
    low = x = unit(unit(unit(x, 32, strides=2), 64), 64, strides=2)
    x = unit(unit(x, 128, strides=2), 256)
    pooled = resized(unit(L.GlobalAveragePooling2D(keepdims=True)(x), 64, 1), x)
    wide = [unit(x, 64, dilation_rate=rate) for rate in (2, 4, 6)]
    x = unit(L.Concatenate()([unit(x, 64, 1), *wide, pooled]), 64, 1)
    x = L.Concatenate()([resized(x, low), unit(low, 48, 1)])
    return resized(conv(unit(unit(x, 64), 64), 5, 1), image)


@on()
def coordinates_repeated_over_the_batch(x):
    """CoordConv: a constant grid, repeated over the batch."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16)), -1)

    def with_grid(x):
        repeated = tf.tile(tf.constant(grid[None], tf.float32), [tf.shape(x)[0], 1, 1, 1])
        return tf.concat([x, repeated], -1)

    return head(unit(with_grid(unit(with_grid(x), 16)), 24))


@keras.saving.register_keras_serializable(package="tests")
class LearnedFusion(L.Layer):
    """BiFPN's: one weight per input."""

    def build(self, shapes):
        self.shares = self.add_weight(name="shares", shape=(len(shapes),), initializer="ones")

    def call(self, tensors):
        shares = tf.nn.relu(self.shares) / (tf.reduce_sum(tf.nn.relu(self.shares)) + 1e-4)
        return tf.add_n([share * x for share, x in zip(tf.unstack(shares), tensors, strict=True)])


rule(LearnedFusion)(merged)


@own(LearnedFusion)
@on(32, 32, 3)
def bifpn_with_learned_fusion(x):
    levels = [x := unit(x, filters, strides=2) for filters in (16, 24, 32)]
    p3, p4, p5 = (unit(level, 24, 1) for level in levels)
    for _ in range(2):
        up = L.SeparableConv2D(24, 3, padding="same")(LearnedFusion()([p4, L.UpSampling2D()(p5)]))
        p3 = L.Activation(tf.nn.silu)(LearnedFusion()([p3, L.UpSampling2D()(up)]))
        p4 = unit(LearnedFusion()([p4, up, L.MaxPooling2D()(p3)]), 24)
        p5 = unit(LearnedFusion()([p5, L.MaxPooling2D()(p4)]), 24)
    return [conv(p, 3, 1) for p in (p3, p4, p5)]


@on()
def functions_of_keras_backend_and_old_tensorflow(x):
    x = unit(x, 16)
    x = keras.backend.switch(x > 0, x, 0.1 * x)
    x = tf.compat.v1.image.resize_bilinear(unit(x, 24), [8, 8], align_corners=True)
    x = tf.nn.crelu(keras.backend.l2_normalize(x, [1, 2]))
    x = tf.image.flip_left_right(x) + tf.math.scalar_mul(0.5, x)
    return head(unit(tf.nn.pool(x, [2, 2], "AVG", [2, 2]), 24))


@on()
def gates_from_single_channels_and_contractions_over_space(x):
    x = unit(x, 16)
    x = x * tf.sigmoid(x[:, :, :, 0, None])
    places = tf.reshape(unit(x, 24), [-1, 256, 24])
    attention = tf.nn.softmax(conv(x, 1), axis=1)
    pooled = tf.matmul(places, tf.reshape(attention, [-1, 256, 1]), transpose_a=True)
    return L.Dense(4)(L.Dense(24, hard_swish)(pooled[:, :, 0]))


@on()
def channels_where_space_was(x):
    """Pixels and channels change places and back."""
    x = L.UpSampling2D((1, 2))(L.Permute((2, 3, 1))(unit(x, 16)))
    x = L.Permute((3, 1, 2))(L.Cropping2D(((2, 2), (3, 5)))(x))
    stacked = tf.stack([x, tf.nn.relu(x)])
    return head(unit(tf.reduce_max(stacked, axis=0), 24))
