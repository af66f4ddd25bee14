"""Awkward but realistic models: `MODELS` maps each name to the function that builds it."""

import functools
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.zoo.models import L, randomize

MODELS = {}


def model(function):
    """Registers a function that returns a model."""
    MODELS[function.__name__] = function
    return function


def on(*shape, **options):
    """Registers a function from one input of this shape to the outputs."""

    def register(function):
        @functools.wraps(function)
        def build():
            x = keras.Input(shape or (16, 16, 3), **options)
            return keras.Model(x, function(x), name=function.__name__)

        return model(build)

    return register


def randomized(model, seed=0):
    """Random values for all weights that are no counters."""
    weights = [w for w in model.weights if w.dtype.is_floating and "stddev" not in w.name]
    randomize(SimpleNamespace(weights=weights), seed)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # derives tensors from its weights
            layer.finalize_state()
    return model


def sample(model, seed=1, batch=4):
    """Random inputs in the structure of the model's own; open sizes are 32, integers below 10."""
    random = np.random.default_rng(seed)

    def one(tensor):
        shape = [size or 32 for size in tensor.shape[1:]]
        shape = [tensor.shape[0] or batch, *shape]
        if tensor.dtype.is_integer:
            return random.integers(0, 10, shape).astype(tensor.dtype.name)
        return random.normal(size=shape).astype(tensor.dtype.name)

    return tf.nest.map_structure(one, model.input)


def conv(x, filters, kernel=3, **options):
    return L.Conv2D(filters, kernel, padding="same", **options)(x)


def unit(x, filters, kernel=3, **options):
    """Convolution, normalisation, activation."""
    return L.ReLU()(L.BatchNormalization()(conv(x, filters, kernel, use_bias=False, **options)))


def head(x, units=4, **options):
    return L.Dense(units, **options)(L.GlobalAveragePooling2D()(x))


def sub(shape, function, **options):
    """A model to nest."""
    x = keras.Input(shape)
    return keras.Model(x, function(x), **options)


# -- shared layers, nested models, several inputs and outputs ------------------------------------


@model
def siamese():
    def embedding(x):
        return L.Dense(16)(L.Flatten()(unit(unit(x, 16, strides=2), 24, strides=2)))

    backbone = sub((16, 16, 3), embedding)
    a, b = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    first, second = backbone(a), backbone(b)
    score = L.Dense(1, activation="sigmoid")(L.Dense(16, "relu")(tf.abs(first - second)))
    return keras.Model([a, b], [L.Dot(1, normalize=True)([first, second]), score])


@on()
def shared_head_at_two_resolutions(x):
    p3 = unit(x, 16)
    p4 = unit(p3, 16, strides=2)
    tower, box, label = L.Conv2D(16, 3, padding="same"), L.Conv2D(4, 3), L.Conv2D(6, 3)
    towers = [L.ReLU()(tower(p)) for p in (p3, p4)]
    return [[box(t) for t in towers], [label(t) for t in towers]]


@model
def shared_layer_with_incompatible_uses():
    x, given = keras.Input((16, 16, 3)), keras.Input((16,))
    features, dense = head(unit(x, 24), 16, activation="relu"), L.Dense(16, activation="tanh")
    both = L.Concatenate()([dense(features), dense(given)])
    return keras.Model([x, given], L.Dense(3)(L.Dense(24, "relu")(both)))


@on()
def nested_three_levels(x):
    def two(x):
        y = unit(x, 16)
        return [y, unit(y, 24, strides=2)]

    inner = sub((16, 16, 16), two)

    def middle(x):
        a, b = inner(unit(x, 16))
        return L.Concatenate()([a, L.UpSampling2D()(b)])

    outer = keras.Sequential([sub((16, 16, 3), middle), L.Conv2D(24, 3), L.BatchNormalization()])
    return head(L.ReLU()(keras.Sequential([outer, L.Conv2D(16, 3)])(x)))


@on()
def inner_model_called_twice(x):
    inner = sub((8, 8, 16), lambda x: x + conv(unit(x, 24), 16))
    a, b = unit(x, 16, strides=2), unit(x, 16, strides=2)
    return head(unit(L.Concatenate()([inner(a), inner(inner(b))]), 24))


@model
def dicts_of_inputs_and_outputs():
    x = {"picture": keras.Input((16, 16, 3)), "left": keras.Input((6,), name="left")}
    y = L.Concatenate()([head(unit(x["picture"], 16), 24, activation="relu"), x["left"]])
    y = L.Dense(32, "relu")(y)
    return keras.Model(x, {"z": L.Dense(2)(y), "a": L.Dense(3, "softmax")(L.Dense(16)(y))})


@model
def nested_model_with_dict_inputs():
    x = {"b": keras.Input((16, 16, 16), name="b"), "a": keras.Input((16, 16, 24), name="a")}
    inner = keras.Model(x, {"sum": conv(x["a"], 16) + x["b"], "wide": conv(x["b"], 24)})
    image = keras.Input((16, 16, 3))
    y = inner({"a": unit(image, 24), "b": unit(image, 16)})
    return keras.Model(image, [head(y["sum"]), head(L.ReLU()(y["wide"]))])


@on()
def inside_and_output(x):
    x = unit(x, 16)
    y = unit(x, 24)
    return [y, head(unit(y, 16)), y]


@model
def two_models_that_share_layers():
    a, b = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    x = keras.Input((16, 16, 3))
    low = unit(x, 16)
    whole, part = keras.Model(x, unit(low, 24)), keras.Model(x, low)
    return keras.Model([a, b], head(L.Concatenate()([whole(a), part(b)])))


@on()
def the_same_tensor_twice(x):
    x = unit(x, 16)
    y = unit(L.Concatenate()([x, x, L.Add()([x, x])]), 24)
    inner = sub((16, 16, 24), lambda x: [x, unit(x, 16)])
    return head(unit(L.Concatenate()([*inner(y), L.Multiply()([y, y])]), 16))


@on()
def same_names_in_nested_models(x):
    def block(x):
        return L.ReLU(name="r")(L.BatchNormalization(name="b")(conv(x, 16, name="c")))

    x = sub((16, 16, 16), block, name="two")(sub((16, 16, 3), block, name="one")(x))
    return head(L.LayerNormalization(name="b")(conv(x, 24, name="c")))


@on()
def unused_parts(x):
    used, _ = tf.split(unit(x, 32), 2, axis=-1)
    two = sub((16, 16, 16), lambda x: [unit(x, 16), unit(x, 24)])
    return head(two(used)[1])


@on()
def transfer_learning(x):
    """The inner model runs in inference mode while the outer one is trained."""
    base = sub((16, 16, 3), lambda x: unit(unit(x, 16), 32, strides=2), name="base")
    y = L.GlobalAveragePooling2D()(base(x, training=False))
    return L.Dense(4)(L.Dropout(0.2)(L.Dense(24, "relu")(y)))


@on()
def frozen_backbone(x):
    base = sub((16, 16, 3), lambda x: unit(unit(x, 16), 32, strides=2), name="base")
    base.trainable = False
    return head(unit(base(x), 24))


@on()
def some_frozen_layers(x):
    y = L.BatchNormalization(trainable=False)(conv(x, 16, trainable=False))
    return head(conv(L.ReLU()(y), 24, activation="relu"))


@on()
def inner_model_with_open_size(x):
    """`keras.applications` without a top and without an input shape."""
    inner = sub((None, None, 3), lambda x: unit(unit(x, 16), 32, strides=4))
    return L.Dense(4)(L.Dense(24, "relu")(L.Flatten()(inner(x))))


class Trainer(keras.Model):
    """A functional subclass with its own training step."""

    def train_step(self, data):
        return {**super().train_step(data), "own": tf.constant(1.0)}


@model
def functional_subclass():
    x = keras.Input((16, 16, 3))
    return Trainer(x, head(unit(unit(x, 16), 24)))


class Classifier(keras.Model):
    """A functional model that makes its own graph."""

    def __init__(self, width=16, **options):
        x = keras.Input((16, 16, 3))
        super().__init__(x, head(unit(unit(x, width), 24)), **options)
        self.width = width

    def train_step(self, data):
        return {**super().train_step(data), "own": tf.constant(1.0)}

    def get_config(self):
        return {"width": self.width}


@model
def functional_subclass_with_its_own_constructor():
    return Classifier()


# -- detection and segmentation ------------------------------------------------------------------


@on(32, 32, 3)
def ssd(x):
    x = unit(unit(x, 16, strides=2), 24)
    boxes, labels = [], []
    for filters in (24, 32, 16):
        boxes.append(L.Reshape((-1, 4))(conv(x, 2 * 4)))
        labels.append(L.Reshape((-1, 5))(conv(x, 2 * 5)))
        x = unit(x, filters, strides=2)
    return [L.Concatenate(1)(boxes), L.Softmax()(L.Concatenate(1)(labels))]


@on(32, 32, 3)
def yolo(x):
    route = unit(unit(x, 16, strides=2), 24, strides=2)
    deep = unit(unit(route, 32, strides=2), 16, 1)
    outputs = []
    fine = unit(L.Concatenate()([L.UpSampling2D()(unit(deep, 16, 1)), route]), 32)
    for y, size in ((deep, 4), (fine, 8)):
        y = L.Reshape((size, size, 3, 7))(conv(unit(y, 24), 21, 1))
        xy, wh, rest = tf.split(y, (2, 2, 3), axis=-1)
        outputs.append(tf.concat([tf.sigmoid(xy), tf.exp(wh * 0.1), tf.sigmoid(rest)], -1))
    return outputs


@on()
def reshape_behind_a_position_concat(x):
    """Features, not predictions, are joined over positions and read on."""
    a = L.Reshape((-1, 24))(unit(x, 24))
    b = L.Reshape((-1, 24))(unit(unit(x, 16, strides=2), 24))
    y = L.Conv1D(16, 1, activation="relu")(L.Concatenate(1)([a, b]))
    return L.Dense(4)(L.GlobalMaxPooling1D()(y))


@on()
def unet(x):
    a = unit(x, 16)
    b = unit(L.MaxPooling2D()(a), 24)
    c = unit(L.MaxPooling2D()(b), 32)
    y = unit(L.Concatenate()([L.Conv2DTranspose(24, 2, strides=2)(c), b]), 24)
    y = L.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(y)
    return conv(unit(L.Concatenate()([y, a]), 16), 1, 1, activation="sigmoid")


@on(32, 32, 3)
def fpn(x):
    levels = [unit(x, 16, strides=2)]
    for filters in (24, 32):
        levels.append(unit(levels[-1], filters, strides=2))
    top, outputs = None, []
    shared = L.Conv2D(24, 3, padding="same", activation="relu")
    for level in reversed(levels):
        lateral = conv(level, 24, 1)
        top = lateral if top is None else L.Add()([lateral, L.UpSampling2D()(top)])
        outputs.append(conv(shared(conv(top, 24)), 5, 1))
    return outputs


@on()
def hrnet(x):
    high = unit(x, 16)
    low = unit(high, 24, strides=2)
    for _ in range(2):
        high, low = unit(high, 16), unit(low, 24)
        up, down = conv(low, 16, 1), conv(high, 24, strides=2)
        high, low = (
            L.ReLU()(L.Add()([high, L.UpSampling2D()(up)])),
            L.ReLU()(L.Add()([low, down])),
        )
    return conv(L.Concatenate()([high, L.UpSampling2D(interpolation="bilinear")(low)]), 3, 1)


@on()
def aspp(x):
    x = unit(x, 32)
    parts = [unit(x, 16, 1)] + [unit(x, 16, dilation_rate=rate) for rate in (2, 4)]
    pooled = unit(L.GlobalAveragePooling2D(keepdims=True)(x), 16, 1)
    parts.append(L.UpSampling2D(16, interpolation="bilinear")(pooled))
    y = L.Dropout(0.1)(unit(L.Concatenate()(parts), 24, 1))
    return conv(y, 4, 1, activation="softmax")


@on()
def open_resize_to_another_map(x):
    """The DeepLab / FPN idiom: the target size is the shape of another tensor."""
    low = unit(x, 16)
    y = unit(unit(low, 24, strides=2), 32)
    y = tf.image.resize(y, tf.shape(low)[1:3])
    return conv(unit(tf.concat([y, low], -1), 16), 3, 1)


@on()
def image_resize(x):
    low = unit(x, 16)
    y = tf.image.resize(unit(low, 24, strides=2), (16, 16), method="nearest")
    return conv(unit(tf.concat([y, low], -1), 16), 3, 1)


@on(None, None, 3)
def open_size(x):
    x = unit(unit(x, 16), 24, strides=2)
    x = L.Add()([x, unit(x, 24)])
    return conv(L.UpSampling2D()(unit(x, 16)), 2, 1, activation="sigmoid")


@on(None, None, 3)
def open_size_with_strided_slice(x):
    x = unit(x, 16)
    return conv(unit(L.Concatenate()([x[:, ::2, ::2], unit(x, 16, strides=2)]), 24), 2, 1)


@on(None, None, 3)
def open_size_with_large_crop(x):
    """The first U-Net crops what valid convolutions lose."""
    y = L.MaxPooling2D(2)(unit(x, 16))
    y = L.UpSampling2D(2)(L.Conv2D(24, 15, activation="relu", padding="valid")(y))
    return conv(unit(L.Concatenate()([unit(x, 16)[:, 14:-14, 14:-14], y]), 16), 2, 1)


@on(None, None, 3)
def open_super_resolution(x):
    x = conv(x, 16, 5, activation="relu")
    x = tf.nn.depth_to_space(conv(conv(x, 24, activation="relu"), 16 * 4), 2)
    return conv(L.ReLU()(x), 3)


# -- blocks of classifiers -----------------------------------------------------------------------


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


@on()
def functions_of_the_user(x):
    """Regularizer, initializer and constraint that are not registered with Keras."""
    x = conv(x, 16, kernel_regularizer=own_regularizer, kernel_constraint=lambda w: w * 0.999)
    x = conv(x, 24, bias_initializer=lambda shape, dtype=None: tf.fill(shape, -4.6))
    return head(L.ReLU()(x))


# -- sequences and volumes -----------------------------------------------------------------------


@on(32, 4)
def wavenet(x):
    x, skips = L.Conv1D(16, 2, padding="causal")(x), []
    for rate in (1, 2, 4):
        options = {"padding": "causal", "dilation_rate": rate}
        gate = L.Conv1D(24, 2, activation="sigmoid", **options)(x)
        y = L.Multiply()([L.Conv1D(24, 2, activation="tanh", **options)(x), gate])
        skips.append(L.Conv1D(32, 1)(y))
        x = L.Add()([x, L.Conv1D(16, 1)(y)])
    return L.Conv1D(5, 1)(L.Conv1D(32, 1, activation="relu")(L.ReLU()(L.Add()(skips))))


@on(32, 4)
def tcn(x):
    for filters, rate in ((16, 1), (24, 2), (24, 4)):
        y = L.Conv1D(filters, 3, padding="causal", dilation_rate=rate, activation="relu")(x)
        y = L.Conv1D(filters, 3, padding="causal", dilation_rate=rate)(L.SpatialDropout1D(0.1)(y))
        x = L.Conv1D(filters, 1)(x) if x.shape[-1] != filters else x
        x = L.ReLU()(L.Add()([x, L.BatchNormalization()(y)]))
    return L.Dense(3)(x[:, -1])


@on(8, 16, 16, 3)
def video(x):
    x = L.ReLU()(L.BatchNormalization()(L.Conv3D(16, 3, padding="same")(x)))
    x = L.Conv3D(24, (1, 3, 3), activation="relu")(L.MaxPooling3D((1, 2, 2))(x))
    x = L.Conv3D(16, (3, 1, 1), activation="relu")(x)
    return L.Dense(3)(L.GlobalAveragePooling3D()(x))


@on(4, 16, 16, 3)
def time_distributed_layers(x):
    x = L.TimeDistributed(L.Conv2D(24, 3, activation="relu"))(x)
    x = L.TimeDistributed(L.Conv2D(32, 3, activation="relu"))(x)
    return L.Dense(3)(L.GRU(16)(L.TimeDistributed(L.GlobalAveragePooling2D())(x)))


@on(4, 16, 16, 3)
def time_distributed_model(x):
    inner = sub((16, 16, 3), lambda x: head(unit(unit(x, 16), 24, strides=2), 32))
    return L.Dense(3)(L.LSTM(16)(L.TimeDistributed(inner)(x)))


@on(5, 12)
def time_distributed_model_with_two_inputs(x):
    a, b = keras.Input((16,)), keras.Input((12,))
    y = L.Concatenate()([L.Dense(24, "relu")(a), L.Dense(16, "relu")(b)])
    inner = keras.Model([a, b], L.Dense(24, "relu")(y))
    y = L.TimeDistributed(inner)([L.Dense(16, "relu")(x), x])
    return L.Dense(3)(L.Dense(16, "relu")(L.GlobalMaxPooling1D()(y)))


@on(6, 8)
def recurrent_layers(x):
    x = L.SimpleRNN(24, return_sequences=True)(L.Dense(16)(x))
    x = L.Bidirectional(L.LSTM(16, return_sequences=True), merge_mode="mul")(x)
    x, last = L.GRU(24, return_sequences=True, return_state=True, reset_after=False)(x)
    return L.Dense(3)(L.Concatenate()([L.LSTM(16, recurrent_dropout=0.1)(x), last]))


@on(6, 8, batch_size=4)
def stateful_recurrent_layer(x):
    return L.Dense(3)(L.LSTM(16, stateful=True)(L.LSTM(24, return_sequences=True)(x)))


@on(8, dtype="int32")
def masked_words(x):
    x = L.Embedding(10, 24, mask_zero=True)(x)
    x = L.Bidirectional(L.GRU(16, return_sequences=True))(x)
    return L.Dense(3)(L.GlobalAveragePooling1D()(L.TimeDistributed(L.Dense(24, "relu"))(x)))


@on(8, dtype="int32")
def language_model_with_tied_weights(x):
    table = L.Embedding(10, 16)
    y = L.Dense(16)(L.LSTM(24, return_sequences=True)(table(x)))
    return tf.matmul(y, table.embeddings, transpose_b=True)


@on(4, 16, 16, 3)
def conv_lstm(x):
    x = L.ConvLSTM2D(16, 3, padding="same", return_sequences=True)(x)
    return head(unit(L.ConvLSTM2D(16, 3, padding="same")(L.BatchNormalization()(x)), 24))


@on(16, 32, 1)
def crnn(x):
    x = L.MaxPooling2D((2, 2))(unit(x, 16))
    x = L.MaxPooling2D((4, 1))(unit(unit(x, 32), 32))
    x = L.Reshape((16, 2 * 32))(L.Permute((2, 1, 3))(x))
    x = L.Dense(32, "relu")(x)
    x = L.Bidirectional(L.GRU(16, return_sequences=True))(x)
    return L.Dense(6, "softmax")(x)


@on(32, dtype="int32")
def text_cnn(x):
    x = L.Embedding(10, 24)(x)
    parts = [L.GlobalMaxPooling1D()(L.Conv1D(16, k, activation="relu")(x)) for k in (3, 4, 5)]
    return L.Dense(1, "sigmoid")(L.Dropout(0.5)(L.Dense(24, "relu")(L.Concatenate()(parts))))


@on(12, 5)
def masked_sequence(x):
    """Dense hands the mask on; the pooling at the end needs it."""
    x = L.Dense(32, "relu")(L.Masking()(x))
    return L.Dense(3)(L.GlobalAveragePooling1D()(L.Dense(24, "relu")(x)))


@model
def sequence_to_sequence():
    """States travel as call arguments."""
    frames, words = keras.Input((8, 6)), keras.Input((5,), dtype="int32")
    x = L.Conv1D(32, 3, activation="relu")(L.Conv1D(24, 3, activation="relu")(frames))
    _, h, c = L.LSTM(16, return_state=True)(x)
    y = L.LSTM(16, return_sequences=True)(L.Embedding(10, 16)(words), initial_state=[h, c])
    y = L.Concatenate()([L.AdditiveAttention()([y, L.Dense(16)(x)]), y])
    return keras.Model([frames, words], L.Dense(10, "softmax")(L.Dense(24, "relu")(y)))


@model
def tabular():
    numbers, category = keras.Input((6,)), keras.Input((1,), dtype="int64")
    lookup = L.IntegerLookup(vocabulary=list(range(2, 9)))(category)
    deep = L.Concatenate()([L.Flatten()(L.Embedding(9, 8)(lookup)), numbers])
    for units in (32, 24):
        deep = L.Dropout(0.1)(L.BatchNormalization()(L.Dense(units, "relu")(deep)))
    return keras.Model([numbers, category], L.Dense(1)(deep) + L.Dense(1)(numbers))


@on(32, 4)
def one_dimensional_layers(x):
    x = L.SeparableConv1D(24, 3, strides=2, padding="same", depth_multiplier=2)(x)
    x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv1D(3, padding="same")(x)))
    x = L.Conv1DTranspose(16, 4, strides=2, padding="same", activation="relu")(x)
    x = L.Conv1D(24, 3, groups=2)(L.Cropping1D(1)(L.UpSampling1D(2)(L.ZeroPadding1D(2)(x))))
    return L.Dense(3)(L.GlobalMaxPooling1D(keepdims=True)(x))


@on()
def vision_transformer(x):
    x = L.Reshape((16, 32))(L.Conv2D(32, 4, strides=4)(x))
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 16)(y, y)])
    y = L.Dense(32)(L.Dropout(0.1)(L.Dense(64, "gelu")(L.LayerNormalization()(x))))
    return L.Dense(4)(L.GlobalAveragePooling1D()(L.Add()([x, y])))


@on()
def attention_tail(x):
    x = L.Reshape((64, 24))(unit(unit(x, 16), 24, strides=2))
    y, scores = L.MultiHeadAttention(2, 8)(x, x, return_attention_scores=True)
    return [L.Dense(4)(L.Dense(24, "relu")(L.Flatten()(y[:, :8]))), tf.reduce_mean(scores, [1, 2])]


@on()
def mlp_mixer(x):
    x = L.Reshape((16, 24))(L.Conv2D(24, 4, strides=4)(x))
    y = L.Dense(16)(L.Dense(32, "gelu")(L.Permute((2, 1))(L.BatchNormalization()(x))))
    x = L.Add()([x, L.Permute((2, 1))(y)])
    x = L.Add()([x, L.Dense(24)(L.Dense(48, "gelu")(L.BatchNormalization()(x)))])
    return L.Dense(4)(L.GlobalAveragePooling1D()(x))


# -- images to images ----------------------------------------------------------------------------


@on()
def pixel_shuffle(x):
    x = unit(x, 24)
    y = tf.nn.depth_to_space(conv(x + conv(x, 24), 64), 2)
    return tf.nn.depth_to_space(conv(L.ReLU()(y), 3 * 4), 2)


@on()
def space_to_depth_input(x):
    x = unit(unit(tf.nn.space_to_depth(x, 2), 16), 24)
    x = unit(tf.nn.space_to_depth(x, 2), 16)
    return head(unit(L.Concatenate()([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]), 24))


@on()
def autoencoder(x):
    y = conv(conv(x, 16, strides=2, activation="relu"), 24, strides=2, activation="relu")
    y = L.Dense(16, name="code")(L.Flatten()(y))
    y = L.Reshape((4, 4, 24))(L.Dense(4 * 4 * 24, "relu")(y))
    y = L.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(y)
    return L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="sigmoid")(y)


class Sampling(L.Layer):
    """Draws around the mean in training."""

    def call(self, inputs, training=None):
        mean, log = inputs
        self.add_loss(tf.reduce_mean(tf.square(mean) + tf.exp(log) - log))
        return mean + tf.random.normal(tf.shape(mean)) * tf.exp(log / 2) if training else mean


@on()
def variational_autoencoder(x):
    y = L.Flatten()(unit(unit(x, 16, strides=2), 24, strides=2))
    y = L.Dense(32, "relu")(y)
    z = Sampling()([L.Dense(8)(y), L.Dense(8)(y)])
    y = L.Reshape((4, 4, 24))(L.Dense(4 * 4 * 24, "relu")(z))
    y = L.Conv2DTranspose(16, 3, strides=4, padding="same", activation="relu")(y)
    return [conv(y, 3, activation="sigmoid"), z]


@model
def loss_on_a_tensor():
    x = keras.Input((16, 16, 3))
    y = unit(x, 16)
    result = keras.Model(x, head(unit(y, 24)))
    result.add_loss(tf.reduce_mean(tf.square(y)))
    return result


# -- layers without a rule -----------------------------------------------------------------------


@on()
def lambda_in_the_middle(x):
    scale = np.linspace(1, 2, 16).astype("float32")
    x = L.Lambda(lambda x: x * scale)(unit(x, 16))
    return head(unit(unit(x, 24), 16))


class Swap(L.Layer):
    """A layer of the user's own without a rule."""

    def __init__(self, shift=1, **options):
        super().__init__(**options)
        self.shift = shift

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:])

    def call(self, x):
        return tf.roll(x, self.shift, -1) * self.scale

    def get_config(self):
        return {**super().get_config(), "shift": self.shift}


@on()
def layer_without_a_rule(x):
    return head(unit(Swap(2)(unit(unit(x, 16), 24)), 16))


@on(4, 16, 16, 3)
def own_layer_in_a_wrapper(x):
    x = L.TimeDistributed(Swap(1))(x)
    x = L.Conv3D(24, (1, 3, 3), activation="relu")(x)
    return L.Dense(3)(L.GlobalMaxPooling3D()(x))


@on()
def spectral_normalization(x):
    x = L.ReLU()(L.SpectralNormalization(L.Conv2D(16, 3))(unit(x, 16)))
    return head(unit(x, 24))


class StandardisedConv2D(L.Conv2D):
    """Weight standardisation: the mean of a filter depends on all of its inputs."""

    def convolution_op(self, inputs, kernel):
        mean, variance = tf.nn.moments(kernel, [0, 1, 2], keepdims=True)
        return super().convolution_op(inputs, (kernel - mean) / tf.sqrt(variance + 1e-10))


@on()
def weight_standardisation(x):
    x = L.ReLU()(StandardisedConv2D(24, 3)(unit(unit(x, 16), 16)))
    return head(unit(x, 24))


class Crossed(L.Add):
    """A merge layer of the user's own, which meets every channel with another one."""

    def _merge_function(self, inputs):
        return inputs[0] + inputs[1][..., ::-1]


@on()
def merge_layer_of_the_user(x):
    return head(unit(unit(Crossed()([unit(x, 16), unit(x, 16)]), 24), 16))


class Pointwise(L.Conv2D):
    """A convolution whose constructor has arguments of its own."""

    def __init__(self, channels, **options):
        super().__init__(channels, 1, **options)

    def get_config(self):
        return {**L.Layer.get_config(self), "channels": self.filters}


@on()
def subclass_with_its_own_constructor(x):
    return head(unit(L.ReLU()(Pointwise(24)(unit(x, 16))), 16))


class AveragedConv2D(L.Conv2D):
    """Remembers the average of its kernel for someone else's use."""

    def build(self, shape):
        super().build(shape)
        self.average = self.add_weight("average", self.kernel.shape, trainable=False)


@on()
def convolution_with_another_weight(x):
    return head(unit(AveragedConv2D(24, 3, activation="relu")(unit(x, 16)), 16))


@on(8, 8, 3)
def locally_connected(x):
    return head(conv(L.LocallyConnected2D(16, 3, activation="relu")(unit(x, 24)), 16))


# -- TensorFlow functions ------------------------------------------------------------------------


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


# -- formats, precisions, sizes ------------------------------------------------------------------


@on(3, 16, 16)
def channels_first(x):
    options = {"data_format": "channels_first"}
    x = L.Conv2D(16, 3, padding="same", **options)(x)
    x = L.ReLU()(L.BatchNormalization(axis=1)(x))
    x = L.Concatenate(1)([x, L.Conv2D(24, 3, padding="same", **options)(x)])
    x = L.DepthwiseConv2D(3, **options)(L.PReLU(shared_axes=[2, 3])(x))
    return L.Dense(3)(L.Flatten(**options)(L.Conv2D(8, 3, **options)(x)))


@on(3, 16, 16)
def channels_first_between_transposes(x):
    x = unit(tf.transpose(x, [0, 2, 3, 1]), 16)
    x = L.PReLU(shared_axes=[2, 3])(tf.transpose(conv(x, 24), [0, 3, 1, 2]))
    x = L.BatchNormalization(axis=1)(x)
    x = L.Concatenate(1)([x, tf.nn.relu(x)])
    return tf.transpose(conv(L.Permute((2, 3, 1))(x), 4), [0, 3, 1, 2])


@on()
def augmentation(x):
    x = L.RandomContrast(0.1)(L.RandomRotation(0.1)(L.RandomFlip("horizontal")(x)))
    return head(unit(L.CenterCrop(8, 8)(unit(L.Resizing(12, 12)(x), 16)), 24))


@on()
def batch_statistics_in_inference(x):
    """Pix2pix keeps normalisation and dropout in training mode."""
    for filters in (16, 24, 16):
        x = L.LeakyReLU()(L.BatchNormalization()(conv(x, filters), training=True))
    return conv(x, 3, activation="tanh")


@on()
def backend_functions(x):
    K = keras.backend
    x = K.relu(K.spatial_2d_padding(conv(x, 16)))
    y = keras.activations.swish(conv(x, 24)) * keras.activations.hard_sigmoid(conv(x, 24))
    y = K.concatenate([K.mean(y, [1, 2]), K.max(y, [1, 2])])
    return L.Dense(3)(K.expand_dims(y, 1))


@on()
def coordinates_as_channels(x):
    x = unit(x, 24)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16)), -1)
    code = tf.ones_like(x[..., :2]) * grid.astype("float32")
    return head(unit(tf.concat([x, code], -1), 16))


@on()
def double_precision(x):
    options = {"dtype": "float64"}
    x = L.ReLU(**options)(L.Conv2D(16, 3, **options)(x))
    return L.Dense(4, **options)(L.Flatten(**options)(L.Conv2D(24, 3, strides=4, **options)(x)))


@model
def mixed_precision():
    try:
        keras.mixed_precision.set_global_policy("mixed_float16")
        x = keras.Input((16, 16, 3))
        y = L.Add()([y := unit(x, 16), unit(y, 16)]) * 0.5
        y = L.Dense(24, "relu")(L.GlobalAveragePooling2D()(unit(y, 24)))
        return keras.Model(x, L.Dense(4, dtype="float32")(y))
    finally:
        keras.mixed_precision.set_global_policy("float32")


@on(16, 16, 3, dtype="uint8")
def bytes_as_input(x):
    return head(unit(unit(tf.cast(x, tf.float32) / 5.0 - 1.0, 16), 24))


@on(16, 16, 3, batch_size=4)
def static_batch(x):
    x = unit(unit(x, 16), 24)
    x = L.Reshape((256, 24))(x)
    return L.Dense(3)(L.Conv1D(16, 1, activation="relu")(x)[:, 0])


@on(16, 16, 3, batch_size=4)
def static_batch_with_reshape(x):
    x = tf.reshape(unit(unit(x, 16), 24), [4, 256, 24])
    return L.Dense(3)(tf.reduce_mean(L.Dense(16, "relu")(x), 1))


@on(1, 1, 32)
def one_by_one(x):
    x = L.Add()([unit(x, 32, 1), conv(x, 32)])
    return L.Dense(3)(L.Flatten()(conv(L.ReLU()(x), 24)))


@on(1)
def one_input_number(x):
    return L.Dense(1)(L.Dense(16, "relu")(L.Dense(32, "relu")(x)))


@on()
def one_convolution(x):
    return conv(x, 16)


@on(16, 16, 1)
def one_channel_everywhere(x):
    return conv(L.ReLU()(L.BatchNormalization()(conv(x, 1))), 1)


@model
def one_dense_layer():
    return keras.Sequential([keras.Input((16,)), L.Dense(4)])


# Keras itself cannot load these once they are saved: shared layers in two nested models, lambdas
# that refer to something, a layer that keeps a string for an object, a function of a variable or of
# any number of tensors.
UNLOADABLE = {
    "two_models_that_share_layers",
    "activations_as_layers_and_functions",
    "functions_of_the_user",
    "lambda_in_the_middle",
    "spectral_normalization",
    "non_local_block_with_einsum",
    "language_model_with_tied_weights",
}

# Coupling of the user's own, which a small model needs to be loaded.
OWN = {
    "variational_autoencoder": {"Sampling": Sampling},
    "layer_without_a_rule": {"Swap": Swap},
    "merge_layer_of_the_user": {"Crossed": Crossed},
    "subclass_with_its_own_constructor": {"Pointwise": Pointwise},
    "convolution_with_another_weight": {"AveragedConv2D": AveragedConv2D},
    "own_layer_in_a_wrapper": {"Swap": Swap},
    "weight_standardisation": {"StandardisedConv2D": StandardisedConv2D},
    "functional_subclass": {"Trainer": Trainer},
    "functional_subclass_with_its_own_constructor": {"Classifier": Classifier},
}
