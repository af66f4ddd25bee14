import functools

import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.both_keras import (
    TF_KERAS,
    L,
    array,
    keras,
    ops,
    skipped_where_keras_refuses,
)
from tests.helpers.compared import relative_error
from tests.helpers.random_weights import random_probabilities, randomize
from tests.zoo.random_models import random_model

pytestmark = pytest.mark.usefixtures("keras")


def block(size, name):
    x = keras.Input((8, 8, size))
    y = L.Conv2D(12, 3, padding="same", activation="relu", name="wide")(x)
    return keras.Model(x, L.Conv2D(size, 1, name="narrow")(y), name=name)


def finish(x, y, **options):
    model = randomize(keras.Model(x, y))
    pruned = spp.prune(model, **{"pruning_ratio": 0.5, "round_to": 1, **options})
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    return model, pruned, small


def test_nested_models_are_opened_at_every_depth():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, padding="same", name="stem")(x)
    inner = keras.Sequential([keras.Input((8, 8, 8)), block(8, "inner"), L.ReLU()], name="outer")
    y = L.Dense(4)(inner(y))
    _, _, small = finish(x, y)
    wide = small.get_layer("outer").get_layer("inner").get_layer("wide")
    assert wide.filters == 6 and wide.kernel.shape[2] == 4
    assert small.get_layer("outer").get_layer("inner").input_shape == (None, 8, 8, 4)


def test_a_nested_model_used_twice_ties_both_uses():
    x = keras.Input((8, 8, 3))
    shared = block(8, "shared")
    first = L.Conv2D(8, 1, name="first")(x)
    second = L.Conv2D(8, 3, padding="same", name="second")(x)
    y = L.Dense(4)(L.Concatenate()([shared(first), shared(second)]))
    _, pruned, small = finish(x, y)
    assert small.get_layer("first").filters == small.get_layer("second").filters == 4
    names = [layer.name for layer in frameworks.of(pruned).layers(pruned)]
    assert len(names) == len(set(names))


def test_siamese_inputs_and_several_outputs():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    conv, head = L.Conv2D(16, 3, name="conv"), L.Dense(4)
    left, right = conv(a), conv(b)
    y = head(L.GlobalAveragePooling2D()(L.Subtract()([left, right])))
    _, _, small = finish([a, b], [y, L.Conv2D(2, 1)(left)])
    assert small.get_layer("conv").filters == 8
    assert len(small.inputs) == len(small.outputs) == 2


def test_a_tensor_that_is_used_inside_and_is_an_output_keeps_all_channels():
    x = keras.Input((8, 8, 3))
    seen = L.Conv2D(8, 3, name="seen")(x)
    hidden = L.Conv2D(8, 3, name="hidden")(seen)
    _, _, small = finish(x, [seen, L.Dense(4)(hidden)])
    assert small.get_layer("seen").filters == 8
    assert small.get_layer("hidden").filters == 4


def test_dictionaries_of_inputs_and_outputs_keep_their_keys():
    x = {"image": keras.Input((8, 8, 3), name="image"), "mask": keras.Input((8, 8, 1), name="mask")}
    y = L.Conv2D(16, 3)(L.Concatenate()([x["image"], x["mask"]]))
    model = randomize(keras.Model(x, {"score": L.Dense(4)(y)}))
    pruned = spp.prune(model, pruning_ratio=0.5)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    values = {"image": np.ones((2, 8, 8, 3), "f"), "mask": np.ones((2, 8, 8, 1), "f")}
    found, expected = (array(each(values)["score"]) for each in (small, pruned))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@TF_KERAS  # a function of TensorFlow
def test_one_unknown_layer_only_costs_its_own_channels():
    import tensorflow as tf

    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, name="before")(x)
    y = L.Conv2D(8, 3, name="at")(y)
    y = L.Lambda(lambda v: tf.map_fn(lambda image: 2.0 * image, v))(y)
    y = L.Conv2D(8, 3, name="behind")(y)
    _, _, small = finish(x, L.Dense(4)(y))
    filters = {layer.name: layer.filters for layer in small.layers if hasattr(layer, "filters")}
    assert filters == {"before": 4, "at": 8, "behind": 4}


def test_a_nested_subclassed_model_is_an_unknown_layer():
    class Mine(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.conv = L.Conv2D(8, 3)

        def call(self, x):
            return self.conv(x)

        def get_config(self):
            return {}

    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, name="behind")(Mine()(L.Conv2D(8, 3, name="at")(x)))
    _, _, small = finish(x, L.Dense(4)(y))
    assert small.get_layer("at").filters == 8 and small.get_layer("behind").filters == 4


def test_every_layer_is_listed_once_in_the_order_of_calls():
    x = keras.Input((8, 8, 3))
    shared = L.Conv2D(3, 3, padding="same", name="shared")
    y = L.Dense(4, name="last")(shared(block(3, "nested")(shared(x))))
    model = keras.Model(x, y)
    assert [layer.name for layer in frameworks.of(model).layers(model)] == [
        "shared",
        "wide",
        "narrow",
        "last",
    ]


@TF_KERAS  # tests its own module
def test_rebuilding_with_plain_copies_gives_the_same_model():
    from keras_spp.frameworks.tf_keras.rebuilding import rebuild

    model = random_model(3)
    copy = rebuild(model, lambda layer: type(layer).from_config(layer.get_config()))
    copy.set_weights(model.get_weights())
    assert relative_error(model, copy) == 0
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]


@TF_KERAS  # Keras 3 has no add_loss of a tensor of a model
def test_a_loss_beside_the_outputs_stays_and_keeps_its_channels():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(16, 3, name="seen")(L.Conv2D(16, 3, name="unseen")(x))
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    model.add_loss(keras.backend.mean(y))
    pruned = spp.prune(model, pruning_ratio=0.5)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert (small.get_layer("unseen").filters, small.get_layer("seen").filters) == (8, 16)
    assert relative_error(pruned, small) <= 2e-5
    np.testing.assert_allclose(pruned.losses, small.losses, rtol=1e-5)
    small.compile("sgd", "mse")
    assert small.train_on_batch(np.ones((2, 8, 8, 3)), np.ones((2, 4, 4, 4))) > 0


def leaky(x, alpha):
    return ops.maximum(x, alpha * x)


def activated(layer):
    """A layer with a Python object that has no config, between two convolutions."""
    x = keras.Input((8, 8, 3))
    y = layer(L.Conv2D(8, 3, name="first")(L.Conv2D(12, 3, name="before")(x)))
    return randomize(keras.Model(x, L.Conv2D(3, 1)(L.Conv2D(8, 1)(y))))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.Conv2D(8, 3, kernel_regularizer=lambda w: ops.sum(w * w)),
        lambda: L.Conv2D(8, 3, bias_constraint=lambda w: ops.relu(w)),
        lambda: L.Conv2D(8, 3, activation=functools.partial(leaky, alpha=0.3)),
        lambda: L.Activation(functools.partial(leaky, alpha=0.3)),
        lambda: L.Lambda(functools.partial(leaky, alpha=0.3)),
        lambda: L.Conv2D(8, 3, kernel_initializer=lambda shape, dtype: ops.ones(shape)),
    ],
)
def test_a_copy_shares_python_objects_that_have_no_config(layer):
    with skipped_where_keras_refuses("Invalid value for attribute"):  # a function
        model = activated(layer())
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert len(pruned.losses) == len(model.losses)
    assert relative_error(model, pruned) <= 1e-6
    random_probabilities(pruned)
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5
    assert callable(getattr(model.layers[3], "activation", callable))  # the original is untouched


def test_a_layer_that_cannot_be_made_again_is_named():
    class Strange(L.Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)

        def call(self, x):
            return x

        def get_config(self):
            return {}

    with pytest.raises(
        ValueError, match=r"`model` has a layer .*Strange.* cannot be copied .*get_config"
    ):
        spp.prune(activated(Strange(3)), pruning_ratio=0.5, round_to=1)


def test_trainable_flags_of_nested_models_are_those_of_the_original():
    inner = keras.Input((8, 8, 3))
    base = keras.Model(inner, L.Conv2D(8, 3)(L.Conv2D(8, 3)(inner)))
    base.trainable = False
    base.layers[-1].trainable = True
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, L.Dense(3)(base(x)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    trained = 2 if keras.__name__ == "tf_keras" else 4  # of Keras 3 each layer's own flag decides
    assert len(pruned.trainable_weights) == len(model.trainable_weights) == trained


@TF_KERAS  # Keras 3 refuses such a call
def test_a_nested_model_called_with_more_entries_than_inputs():
    inner = {"a": keras.Input((8, 8, 3), name="a"), "c": keras.Input((8, 8, 3), name="c")}
    y = L.Add()([L.Conv2D(8, 3)(inner["a"]), L.Conv2D(8, 3, name="inside")(inner["c"])])
    base = keras.Model(inner, L.Conv2D(4, 1)(y))
    x = keras.Input((8, 8, 3))
    wide = L.Conv2D(3, 1, name="wide")(x)
    with pytest.warns(UserWarning, match="did not match any"):
        model = randomize(keras.Model(x, base({"a": x, "b": L.Conv2D(5, 1)(x), "c": wide})))
        pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
        random_probabilities(pruned)
        small = spp.shrink(pruned)
        assert relative_error(pruned, small) <= 2e-5
    assert small.get_layer("wide").filters == 1


@TF_KERAS  # a function of TensorFlow
def test_a_weight_that_a_function_is_given_stays_tied_and_whole():
    import tensorflow as tf

    x = keras.Input((8, 8, 3))
    table = L.Dense(16, name="table")
    y = table(L.Dense(12)(L.Conv2D(16, 3)(x)))
    y = L.Dense(16)(L.Dense(24, name="between")(y))
    y = tf.matmul(y, table.kernel, transpose_b=True)
    model = randomize(keras.Model(x, L.Dense(3)(y)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert not set(map(id, pruned.variables)) & set(map(id, model.variables))
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    assert small.get_layer("between").units == 12
    kernel = small.get_layer("table").kernel
    assert kernel.shape == (12, 16)
    kernel.assign(kernel * 2)
    assert relative_error(pruned, small) > 0.1  # both uses have changed


@TF_KERAS  # a function of TensorFlow
def test_a_tied_weight_of_a_nested_sequential_is_the_copys():
    import tensorflow as tf

    inside = L.Dense(8, name="inside")
    base = keras.Sequential([keras.Input((8, 8, 3)), L.BatchNormalization(), inside], name="base")
    base.trainable = False
    x = keras.Input((8, 8, 3))
    y = L.Dense(8)(L.Conv2D(16, 3, padding="same")(base(x)))
    model = randomize(keras.Model(x, tf.matmul(y, inside.kernel, transpose_b=True)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert len(pruned.trainable_weights) == len(model.trainable_weights) == 4
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    before = small(np.ones((1, 8, 8, 3))).numpy()
    kernel = small.get_layer("base").get_layer("inside").kernel
    kernel.assign(kernel * 0)
    assert np.abs(before).max() > 0 == np.abs(small(np.ones((1, 8, 8, 3)))).max()
    assert np.abs(inside.kernel).max() > 0


def test_calls_fixed_to_inference_leave_the_training_step_to_other_layers():
    inner = keras.Input((8, 8, 3))
    base = keras.Model(inner, L.Conv2D(16, 3)(L.BatchNormalization()(L.Conv2D(16, 3)(inner))))
    x = keras.Input((8, 8, 3))
    y = L.GlobalAveragePooling2D()(base(x, training=False))
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=schedule)
    pruned.compile(keras.optimizers.SGD(1e-4), "mse", jit_compile=False)
    data = np.ones((32, 8, 8, 3)), np.ones((32, 4))
    pruned.fit(*data, batch_size=2, epochs=2, verbose=0, callbacks=[spp.SPPCallback()])
    assert spp.Pruner(pruned).progress().finished
    assert relative_error(pruned, spp.shrink(pruned)) <= 2e-5
    with pytest.raises(ValueError, match=r"calls every layer .* with training=False"):
        spp.prune(keras.Model(x, y), pruning_ratio=0.5)


def test_labels_of_a_policys_refused_layers_are_remembered():
    class Policy:
        def allow_pruning(self, layer):
            return layer.name != "wide"

    model = block(8, "net")
    classes = frameworks.of(model).label(model, Policy())
    assert not classes.prunable.any()
    assert len(classes.channels.refused) == 1


@TF_KERAS  # a function of TensorFlow
def test_channels_are_found_while_a_training_step_is_traced():
    import tensorflow as tf

    x = keras.Input((8, 8, 3))
    y = tf.nn.space_to_depth(L.Conv2D(8, 3, padding="same")(x), 2)
    model = keras.Model(x, L.Dense(4)(L.Lambda(lambda t: tf.cumsum(t, axis=1))(y)))
    found, label = [], frameworks.of(model).label
    tf.function(lambda: found.append(label(model))).get_concrete_function()
    np.testing.assert_array_equal(found[0].prunable, label(model).prunable)
    assert found[0].prunable.sum() == 8
