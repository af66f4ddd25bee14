"""Networks for detection and segmentation."""

import tensorflow as tf

from tests.zoo.awkward.registry import conv, on, unit
from tests.zoo.models import L


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
