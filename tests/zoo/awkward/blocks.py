"""Blocks of classifiers."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import conv, head, on, unit, unloadable
from tests.zoo.models import L


@on()
def inception(x):
    x = unit(x, 16)
    pooled = L.AveragePooling2D(3, strides=1, padding="same")(x)
    parts = [unit(x, 16, 1), unit(unit(x, 16, 1), 24), unit(unit(x, 16, 1), 16, 5)]
    x = L.Concatenate()([*parts, unit(pooled, 16, 1)])
    x = L.Concatenate()([L.MaxPooling2D()(x), unit(unit(x, 24, (1, 7)), 32, (7, 1), strides=2)])
    return head(x)


@on()
def resnext(x):
    x = unit(x, 32)
    for _ in range(2):
        y = unit(unit(x, 32, 1), 32, groups=8)
        x = L.ReLU()(L.Add()([x, L.BatchNormalization()(conv(y, 32, 1))]))
    return head(x)


@on()
def different_group_counts(x):
    x = unit(unit(x, 24), 48, groups=4)
    return head(unit(unit(unit(x, 24, groups=6), 48, groups=2), 32, groups=4))


@on()
def shufflenet_v2(x):
    x = unit(x, 32)
    for _ in range(2):
        left, right = tf.split(x, 2, axis=-1)
        right = L.DepthwiseConv2D(3, padding="same")(unit(right, 16, 1))
        right = unit(L.BatchNormalization()(right), 16, 1)
        x = tf.reshape(tf.concat([left, right], -1), [-1, 16, 16, 2, 16])
        x = tf.reshape(tf.transpose(x, [0, 1, 2, 4, 3]), [-1, 16, 16, 32])
    return head(unit(x, 24))


@on()
def shufflenet_with_keras_layers(x):
    x = unit(unit(x, 24), 24, 1, groups=3)
    x = L.Permute((1, 2, 4, 3))(L.Reshape((16, 16, 3, 8))(x))
    x = L.DepthwiseConv2D(3, padding="same")(L.Reshape((16, 16, 24))(x))
    return head(unit(x, 24, 1, groups=3))


@on()
def ghostnet(x):
    def ghost(x, filters):
        y = unit(x, filters - filters // 2, 1)
        return L.Concatenate()([y, L.DepthwiseConv2D(3, padding="same")(y)])[..., :filters]

    x = unit(x, 16)
    for _ in range(2):
        y = L.DepthwiseConv2D(3, padding="same")(L.ReLU()(ghost(x, 32)))
        x = L.Add()([x, ghost(y, 16)])
    return head(unit(ghost(x, 25), 16))


@on()
def res2net(x):
    x = unit(x, 32)
    parts = tf.split(unit(x, 32, 1), 4, axis=-1)
    outputs = [parts[0], unit(parts[1], 8)]
    for part in parts[2:]:
        outputs.append(unit(L.Add()([part, outputs[-1]]), 8))
    return head(L.ReLU()(L.Add()([x, conv(L.Concatenate()(outputs), 32, 1)])))


@on()
def resnest(x):
    x = unit(x, 16)
    y = unit(x, 32, groups=2)
    first, second = tf.split(y, 2, axis=-1)
    gap = L.GlobalAveragePooling2D(keepdims=True)(first + second)
    weights = L.Reshape((2, 16))(conv(unit(gap, 16, 1), 32, 1))
    weights = L.Reshape((1, 1, 32))(L.Softmax(axis=1)(weights))
    first, second = tf.split(y * weights, 2, axis=-1)
    return head(L.ReLU()(x + conv(first + second, 16, 1)))


@on()
def squeeze_and_excite(x):
    x = unit(x, 32)
    y = L.Dense(16, "relu")(L.GlobalAveragePooling2D()(x))
    y = L.Reshape((1, 1, 32))(L.Dense(32, "sigmoid")(y))
    return head(unit(L.Multiply()([x, y]), 24))


@on()
def squeeze_and_excite_with_new_axes(x):
    x = unit(x, 32)
    y = L.Dense(32, "sigmoid")(L.Dense(16, "relu")(tf.reduce_mean(x, [1, 2])))
    return head(unit(x * y[:, tf.newaxis, tf.newaxis, :], 24))


@on()
def squeeze_and_excite_with_expand_dims(x):
    x = unit(x, 32)
    y = L.Dense(32, "sigmoid")(L.Dense(16, "relu")(tf.reduce_mean(x, axis=(1, 2))))
    return head(unit(x * tf.expand_dims(tf.expand_dims(y, 1), 1), 24))


@on()
def efficient_channel_attention(x):
    x = unit(unit(x, 16), 24)
    y = L.Reshape((24, 1))(L.GlobalAveragePooling2D()(x))
    y = L.Conv1D(1, 3, padding="same", use_bias=False, activation="sigmoid")(y)
    return head(unit(L.Multiply()([x, L.Reshape((1, 1, 24))(y)]), 16))


@on()
def cbam(x):
    x = unit(unit(x, 16), 32)
    one, two = L.Dense(16, "relu"), L.Dense(32)
    pools = [L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)]
    gate = tf.sigmoid(L.Add()([two(one(pool)) for pool in pools]))
    x = L.Multiply()([x, L.Reshape((1, 1, 32))(gate)])
    y = L.Concatenate()([tf.reduce_mean(x, -1, keepdims=True), tf.reduce_max(x, -1, True)])
    return head(unit(L.Multiply()([x, conv(y, 1, 7, activation="sigmoid")]), 24))


@on()
def sknet(x):
    x = unit(x, 16)
    a, b = unit(x, 24), unit(x, 24, dilation_rate=2)
    gap = L.Dense(16, "relu")(L.GlobalAveragePooling2D()(L.Add()([a, b])))
    weights = tf.nn.softmax(tf.stack([L.Dense(24)(gap), L.Dense(24)(gap)], 1), axis=1)
    first, second = tf.unstack(weights, axis=1)
    y = a * L.Reshape((1, 1, 24))(first) + b * L.Reshape((1, 1, 24))(second)
    return head(unit(y, 16))


@on()
def coordinate_attention(x):
    x = unit(x, 24)
    rows = L.AveragePooling2D((1, 16))(x)
    columns = L.Permute((2, 1, 3))(L.AveragePooling2D((16, 1))(x))
    y = unit(L.Concatenate(1)([rows, columns]), 16, 1)
    rows, columns = tf.split(y, 2, axis=1)
    rows = conv(rows, 24, 1, activation="sigmoid")
    columns = conv(L.Permute((2, 1, 3))(columns), 24, 1, activation="sigmoid")
    return head(unit(x * rows * columns, 16))


@on()
def attention_pooling(x):
    """A softmax over positions weighs them; channels stay apart."""
    x = L.Reshape((256, 32))(unit(unit(x, 16), 32))
    weights = L.Softmax(axis=1)(L.Dense(1)(L.Dense(16, "tanh")(x)))
    return L.Dense(4)(tf.reduce_sum(x * weights, axis=1))


@on()
def gated_linear_unit(x):
    left, right = tf.split(conv(unit(x, 16), 48), 2, axis=-1)
    return head(unit(left * tf.sigmoid(right), 24))


@on()
def option_a_shortcut(x):
    x = unit(x, 16)
    y = L.BatchNormalization()(conv(unit(x, 32, strides=2), 32))
    x = L.ReLU()(y + tf.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [5, 11]]))
    return head(unit(L.ReLU()(x + conv(x, 32)), 24))


@on()
def option_a_with_permute_and_padding(x):
    x = unit(x, 16)
    shortcut = L.AveragePooling2D(2)(x)
    shortcut = L.ZeroPadding2D(((8, 8), (0, 0)))(L.Permute((3, 2, 1))(shortcut))
    x = L.ReLU()(unit(x, 32, strides=2) + L.Permute((3, 2, 1))(shortcut))
    return head(unit(x, 24))


@on()
def prelu(x):
    x = L.PReLU(shared_axes=[1, 2])(L.BatchNormalization()(conv(x, 16)))
    x = L.PReLU(shared_axes=[1])(conv(x, 24, strides=2))
    return L.Dense(4)(L.Flatten()(L.PReLU()(conv(x, 16))))


@unloadable("a lambda that refers to something")
@on()
def activations_as_layers_and_functions(x):
    x = conv(x, 16, activation=L.PReLU(shared_axes=[1, 2]))
    x = conv(x, 24, activation=L.LeakyReLU(0.1))
    x = conv(x, 24, activation=tf.nn.relu6)
    x = L.Activation(lambda x: tf.nn.leaky_relu(x, 0.3))(conv(x, 16))
    return head(conv(x, 24, activation=lambda x: x * tf.sigmoid(x)))


@on()
def maxout(x):
    x = tf.reduce_max(L.Reshape((16, 16, 24, 2))(conv(unit(x, 16), 48)), -1)
    return head(unit(x, 16))


@on()
def maxout_over_leading_part(x):
    x = tf.reduce_max(L.Reshape((16, 16, 2, 24))(conv(unit(x, 16), 48)), 3)
    return head(unit(x, 16))


@on(24)
def highway(x):
    x = L.Dense(32, "relu")(x)
    for _ in range(2):
        gate = L.Dense(32, "sigmoid")(x)
        x = gate * L.Dense(32, "relu")(x) + (1 - gate) * x
    return L.Dense(3)(x)


@on()
def densenet(x):
    x = conv(x, 16)
    for _ in range(3):
        y = unit(L.ReLU()(L.BatchNormalization()(x)), 24, 1)
        x = L.Concatenate()([x, conv(y, 12)])
    x = L.AveragePooling2D()(conv(L.ReLU()(L.BatchNormalization()(x)), 24, 1))
    return head(L.ReLU()(L.BatchNormalization()(L.Concatenate()([x, conv(x, 12)]))))


@on()
def depthwise_in_disguise(x):
    x = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(unit(x, 16))
    x = conv(L.BatchNormalization()(x), 64, groups=32, activation="relu")
    x = L.Multiply()([x, conv(conv(x, 1), 1, 5, activation="sigmoid")])
    return head(L.SeparableConv2D(24, 3, depth_multiplier=2, activation="relu")(x))


@on()
def one_output_per_group(x):
    return head(unit(conv(unit(x, 32), 8, groups=8), 16))


@on()
def inverted_residuals(x):
    x = unit(x, 16)
    for filters in (16, 24):
        y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(unit(x, 48, 1))
        y = L.BatchNormalization()(conv(L.ReLU(6.0)(L.BatchNormalization()(y)), filters, 1))
        x = L.Add()([x, y]) if x.shape[-1] == filters else y
    return head(L.Dropout(0.2, noise_shape=(None, 1, 1, 24))(x))


@on()
def convmixer(x):
    x = L.BatchNormalization()(L.Conv2D(32, 2, strides=2, activation="gelu")(x))
    for _ in range(2):
        y = L.DepthwiseConv2D(5, padding="same", activation="gelu")(x)
        x = L.Add()([L.BatchNormalization()(y), x])
        x = L.BatchNormalization()(conv(x, 32, 1, activation="gelu"))
    return head(x)


@on()
def convnext(x):
    x = L.LayerNormalization(epsilon=1e-6)(L.Conv2D(16, 4, strides=4)(x))
    y = L.LayerNormalization(epsilon=1e-6)(L.DepthwiseConv2D(7, padding="same")(x))
    x = x + L.Dense(16)(L.Dense(64, "gelu")(y))
    return L.Dense(4)(L.LayerNormalization()(L.GlobalAveragePooling2D()(x)))


@on()
def group_normalization(x):
    x = L.ReLU()(L.GroupNormalization(4)(conv(x, 16)))
    return head(L.ReLU()(L.GroupNormalization(-1)(conv(unit(x, 24), 16))))


@on()
def instance_normalization(x):
    """GroupNormalization(groups=-1) normalises every channel by itself."""
    for filters in (16, 24, 16):
        x = L.ReLU()(L.GroupNormalization(groups=-1)(conv(x, filters)))
    return head(x)


@on()
def spatial_layer_normalization(x):
    x = L.ReLU()(L.LayerNormalization(axis=[1, 2])(conv(x, 16)))
    return head(conv(x, 24))


@on()
def odd_batch_normalization(x):
    x = unit(L.BatchNormalization()(x), 16)
    y = L.BatchNormalization()(L.Concatenate()([x, conv(x, 24)]))
    y = L.BatchNormalization()(L.Flatten()(L.MaxPooling2D(4)(y)))
    return L.Dense(3)(L.BatchNormalization(renorm=True)(L.Dense(24)(y)))


@on()
def batch_normalization_over_rows(x):
    return head(conv(L.BatchNormalization(axis=1)(conv(x, 24)), 16, activation="relu"))


@on()
def constants_per_channel(x):
    x = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    x = L.Rescaling([0.5, 1.0, 2.0], [0.1, 0.2, 0.3])(x)
    y = L.Rescaling(np.linspace(1, 2, 16).tolist(), 0.5)(unit(x, 16))
    y = L.Normalization(mean=np.linspace(0, 1, 24), variance=np.ones(24))(unit(y, 24))
    return head(conv(y, 16) * tf.constant(np.linspace(0.5, 2, 16), tf.float32))


@on()
def adapted_normalization(x):
    norm = L.Normalization()
    norm.adapt(np.random.default_rng(0).normal(size=(8, 16, 16, 24)))
    return head(unit(norm(unit(x, 24)), 16))


@on()
def lists_as_constants(x):
    x = unit(x, 16) ** np.linspace(1, 2, 16).tolist()
    x = tf.clip_by_value(conv(x, 24), [-3.0] * 24, np.linspace(1, 3, 24).tolist())
    return head(conv(x, 16) * np.linspace(0.5, 2, 16).tolist())


@on()
def regularizers_and_constraints(x):
    x = conv(x, 16, kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2, [0, 1]))
    x = L.ActivityRegularization(l1=1e-4)(L.BatchNormalization(gamma_constraint="non_neg")(x))
    x = L.Conv2D(24, 3, activity_regularizer="l1", bias_regularizer="l2")(x)
    return head(L.DepthwiseConv2D(3, depthwise_constraint="unit_norm")(L.ReLU()(x)))


def own_regularizer(weights):
    return 1e-4 * tf.reduce_sum(tf.square(weights))


@unloadable("functions that are not registered")
@on()
def functions_of_the_user(x):
    """Regularizer, initializer and constraint that are not registered with Keras."""
    x = conv(x, 16, kernel_regularizer=own_regularizer, kernel_constraint=lambda w: w * 0.999)
    x = conv(x, 24, bias_initializer=lambda shape, dtype=None: tf.fill(shape, -4.6))
    return head(L.ReLU()(x))
