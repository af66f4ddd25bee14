"""Functions of TensorFlow."""

import numpy as np
import tensorflow as tf

from tests.zoo.awkward.registry import conv, head, on, unit, unloadable
from tests.zoo.models import L


@on()
def channel_functions(x):
    x = tf.gather(unit(x, 24), [3, 1, 2, 0, *range(4, 24)], axis=-1)
    return head(unit(tf.reverse(unit(x, 16), [-1]), 16))


@on()
def stacked_branches(x):
    x = unit(x, 16)
    y = tf.reduce_max(tf.stack([unit(x, 24), unit(x, 24), unit(x, 24)], axis=1), 1)
    return head(unit(tf.add_n([y, unit(x, 24), unit(x, 24)]), 16))


@on()
def unstacked_frames(x):
    a, b = tf.unstack(L.Reshape((2, 8, 16, 24))(unit(x, 24)), axis=1)
    return head(unit(tf.concat([a, b], -1), 16))


@on()
def pooling_functions(x):
    x = tf.nn.max_pool2d(unit(x, 16), 2, 2, "SAME")
    return head(unit(tf.nn.avg_pool2d(unit(x, 24), 3, 1, "SAME"), 16))


@on()
def pooling_over_channels(x):
    x = tf.nn.max_pool(unit(x, 48), [1, 1, 1, 2], [1, 1, 1, 2], "VALID")
    return head(unit(unit(x, 24), 16))


@on()
def normalised_as_a_whole(x):
    """Without an axis, the norm is that of all values."""
    y = tf.math.l2_normalize(tf.transpose(conv(x, 24), [0, 3, 1, 2]))
    y = L.ReLU()(conv(100.0 * tf.transpose(y, [0, 2, 3, 1]), 16))
    return head(conv(y, 24, activation="relu"))


@on()
def local_response_normalization(x):
    x = tf.nn.local_response_normalization(conv(x, 24, 5, activation="relu"), 2)
    return head(conv(conv(x, 24, activation="relu"), 16))


@on()
def blur_with_a_constant_filter(x):
    x = unit(x, 16)
    kernel = np.outer([1, 2, 1], [1, 2, 1]).astype("float32")[:, :, None, None] / 16
    x = tf.nn.depthwise_conv2d(x, np.repeat(kernel, 16, 2), [1, 2, 2, 1], "SAME")
    y = tf.nn.conv2d(x, np.tile(kernel, (1, 1, 16, 8)), 1, "SAME")
    return head(unit(tf.concat([x, y], -1), 24))


@on()
def embedding_of_unit_length(x):
    return tf.math.l2_normalize(head(unit(unit(x, 16), 24), 16), axis=-1)


@on()
def instance_statistics(x):
    x = conv(x, 24)
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    x = tf.nn.relu((x - mean) * tf.math.rsqrt(variance + 1e-3))
    return head(conv(x, 16))


@on()
def statistics_pooling(x):
    x = unit(unit(x, 16), 24)
    deviation = tf.math.reduce_std(x, [1, 2])
    return L.Dense(4)(L.Concatenate()([tf.reduce_mean(x, [1, 2]), deviation]))


@on(8, 8, 3)
def non_local_block(x):
    x = unit(x, 24)
    a, b, c = [L.Reshape((64, 16))(conv(x, 16, 1)) for _ in range(3)]
    scores = tf.nn.softmax(tf.matmul(a, b, transpose_b=True))
    y = L.Reshape((8, 8, 16))(tf.matmul(scores, c))
    return head(unit(x + conv(y, 24, 1), 16))


@unloadable("a function of any number of tensors")
@on(8, 8, 3)
def non_local_block_with_einsum(x):
    x = unit(x, 24)
    a, b, c = [L.Reshape((64, 16))(conv(x, 16, 1)) for _ in range(3)]
    scores = tf.nn.softmax(tf.einsum("bic,bjc->bij", a, b))
    y = L.Reshape((8, 8, 16))(tf.einsum("bij,bjc->bic", scores, c))
    return head(unit(x + conv(y, 24, 1), 16))


@on()
def masks(x):
    x = conv(x, 16)
    x = tf.where(x > 0, x, 0.1 * x)
    y = conv(x, 24)
    return head(unit(y * tf.cast(y > 0.1, tf.float32), 16))


@on()
def comparison_with_floats(x):
    y = conv(x, 24)
    return head(unit(y * tf.cast(tf.math.greater(y, 0.1), "float32"), 16))


@on()
def dynamic_reshape(x):
    x = unit(unit(x, 16), 24)
    y = tf.reshape(x, [tf.shape(x)[0], -1, 24])
    return L.Dense(3)(tf.reduce_max(L.Dense(16, "relu")(y), 1))


@on()
def pixels_as_batch(x):
    y = tf.reshape(unit(unit(x, 16), 24), [-1, 24])
    return tf.reshape(L.Dense(3)(L.Dense(16, "relu")(y)), [-1, 16, 16, 3])


@on()
def windows_as_batch(x):
    """Swin's window partition and its inverse."""
    x = unit(x, 24)
    y = tf.transpose(tf.reshape(x, [-1, 4, 4, 4, 4, 24]), [0, 1, 3, 2, 4, 5])
    y = unit(tf.reshape(y, [-1, 4, 4, 24]), 16)
    y = tf.transpose(tf.reshape(y, [-1, 4, 4, 4, 4, 16]), [0, 1, 3, 2, 4, 5])
    return head(unit(tf.reshape(y, [-1, 16, 16, 16]), 24))


@on(4, 16, 16, 3)
def frames_as_batch(x):
    y = unit(unit(tf.reshape(x, [-1, 16, 16, 3]), 16), 24, strides=2)
    y = tf.reshape(L.GlobalAveragePooling2D()(y), [-1, 4, 24])
    return L.Dense(3)(L.Conv1D(16, 3, activation="relu")(y)[:, -1])


@on()
def temporal_shift(x):
    """Frames are the batch; of each four in a row, channels move by one."""
    x = unit(x, 16)
    y = tf.reshape(x, [-1, 4, 16, 16, 16])
    y = tf.concat([tf.roll(y[..., :4], 1, axis=1), y[..., 4:]], -1)
    return head(unit(x + unit(tf.reshape(y, [-1, 16, 16, 16]), 16), 24))


@on()
def outer_product(x):
    x = unit(x, 16)
    a, b = head(unit(x, 16), 12), head(unit(x, 16), 8)
    y = L.Multiply()([L.Reshape((12, 1))(a), L.Reshape((1, 8))(b)])
    return L.Dense(3)(L.Flatten()(y))


@on()
def tiled_condition(x):
    x = unit(x, 16)
    code = tf.reshape(L.Dense(24, "relu")(L.GlobalAveragePooling2D()(x)), [-1, 1, 1, 24])
    return head(unit(tf.concat([x, tf.tile(code, [1, 16, 16, 1])], -1), 16))


@on()
def broadcast_condition(x):
    x = unit(x, 16)
    code = L.RepeatVector(256)(L.Dense(24, "relu")(L.GlobalAveragePooling2D()(x)))
    return head(unit(L.Concatenate()([x, L.Reshape((16, 16, 24))(code)]), 16))


@on()
def functions_with_named_arguments(x):
    x = tf.nn.relu(features=conv(x, 16), name="first")
    x = tf.concat(values=[x, tf.nn.leaky_relu(features=conv(x, 16), alpha=0.1)], axis=3)
    x = tf.reduce_mean(input_tensor=L.Conv2D(24, 3)(inputs=x), axis=[1, 2])
    return L.Dense(3)(inputs=tf.squeeze(tf.expand_dims(x, axis=1), axis=[1]))


@on()
def pairwise_powers(x):
    x = unit(x, 24)
    y = tf.math.square(x) - tf.exp(-x) + tf.math.divide_no_nan(x, 1.0 + tf.abs(x))
    return head(unit(tf.nn.crelu(conv(y, 16)), 16))
