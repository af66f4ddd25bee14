"""Shared layers, nested models, several inputs and outputs."""

import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import conv, head, model, on, own, sub, unit, unloadable
from tests.zoo.models import L


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


@unloadable("layers that two nested models share")
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


@own(Trainer)
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


@own(Classifier)
@model
def functional_subclass_with_its_own_constructor():
    return Classifier()
