"""Models of Keras 3 with a trap each: they shrink exactly, or say why they keep their channels."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.core.channels import Reason
from tests.helpers.both_keras import skipped_where_keras_refuses
from tests.helpers.keras3 import EXACT, assert_equal, check_exact, masked_and_small
from tests.zoo.keras3_models import L, ops, outputs, randomize

HALF = 1e-2  # what float16 and bfloat16 resolve, a few roundings later


def reasons(model, name):
    return next(row.reason for row in spp.analyze(model) if row.layer == name) or ""


def several_inputs_and_outputs():
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((4,), name="b")
    x = L.Conv2D(8, 3, activation="relu")(a)
    gate = L.Dense(8, activation="sigmoid")(L.Dense(6, activation="relu")(b))
    x = x * ops.reshape(gate, (-1, 1, 1, 8))
    y = L.GlobalMaxPooling2D()(L.Conv2D(6, 1)(x))
    return keras.Model({"a": a, "b": b}, {"one": L.Dense(2)(y), "two": L.Dense(3)(L.Flatten()(x))})


def nested_three_levels():
    def block(width, depth):
        x = inputs = keras.Input((6, 6, width))
        if depth:
            x = block(width, depth - 1)(x)
        return keras.Model(inputs, L.Conv2D(width + 2, 1, activation="relu")(x))

    x = keras.Input((6, 6, 3))
    return keras.Model(x, L.Dense(2)(L.Flatten()(block(3, 2)(x))))


def siamese():
    shared = keras.Sequential([
        keras.Input((6, 6, 3)), L.Conv2D(8, 3, activation="relu"), L.Conv2D(6, 3), L.Flatten(),
    ])  # fmt: skip
    a, b = keras.Input((6, 6, 3)), keras.Input((6, 6, 3))
    return keras.Model([a, b], L.Dense(2)(ops.abs(shared(a) - shared(b))))


def nested_with_several_outputs():
    x = inputs = keras.Input((6, 6, 3))
    first = L.Conv2D(6, 3, activation="relu")(x)
    inner = keras.Model(inputs, [first, L.Conv2D(4, 1)(first)])
    x = keras.Input((6, 6, 3))
    wide, narrow = inner(x)
    return keras.Model(x, L.Dense(2)(L.Flatten()(ops.concatenate([wide, narrow], axis=-1))))


def open_nested_input():
    inner = keras.Input((None, None, 4))
    block = keras.Model(inner, L.Conv2D(6, 3, padding="same", activation="relu")(inner))
    x = keras.Input((6, 6, 3))
    return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(block(L.Conv2D(4, 1)(x)))))


def training_fixed():
    base = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(8, 3), L.BatchNormalization()])
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(6, 3, activation="relu")(L.ReLU()(base(x, training=False)))
    return keras.Model(x, L.Dense(2)(L.Flatten()(y)))


def frames():
    x = keras.Input((5, 6, 6, 3))
    y = L.TimeDistributed(L.Conv2D(6, 3, activation="relu"))(x)
    y = L.TimeDistributed(L.GlobalAveragePooling2D())(y)
    return keras.Model(x, L.Dense(2)(L.GRU(6)(L.LSTM(8, return_sequences=True)(y))))


def stacked_cells():
    x = keras.Input((5, 4))
    y = L.RNN([L.LSTMCell(6), L.GRUCell(4)], return_sequences=True)(L.Dense(6)(x))
    return keras.Model(x, L.Dense(2)(L.Flatten()(y)))


def states():
    x = keras.Input((5, 4))
    y, h, c = L.LSTM(6, return_state=True, return_sequences=True)(x)
    y = L.LSTM(6)(y, initial_state=[h, c])
    return keras.Model(x, L.Dense(2)(y))


def normalised_inputs():
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(6, 3)(L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x))
    y = L.Rescaling(np.arange(1.0, 7.0), offset=np.arange(6.0))(y)
    y = L.GroupNormalization(groups=-1)(y)
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.SpatialDropout2D(0.5)(y))))


def depth_to_space():
    x = keras.Input((6, 6, 3))
    y = ops.depth_to_space(L.Conv2D(12, 3, padding="same")(x), 2)
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(4, 3)(y))))


def lambda_activation():
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(6, 3, kernel_regularizer=lambda w: ops.sum(w * w))(x)
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(4, 3)(y))))


def trainer():
    class Trainer(keras.Model):
        def train_step(self, data):
            return {}

    x = keras.Input((6, 6, 3))
    return Trainer(x, L.Dense(2)(L.Flatten()(L.Conv2D(6, 3, activation="relu")(x))))


def words():
    x = keras.Input((7,))
    y = L.Embedding(20, 8)(ops.cast(ops.abs(x) * 5, "int32"))
    y = L.Conv1D(6, 3, activation="relu")(y)
    return keras.Model(x, L.Dense(2)(L.GlobalMaxPooling1D()(y)))


def masked_words():
    x = keras.Input((7,))
    y = L.Embedding(20, 8, mask_zero=True)(ops.cast(ops.abs(x) * 2, "int32"))
    return keras.Model(x, L.Dense(2)(L.LSTM(6)(L.LSTM(8, return_sequences=True)(y))))


def masked_steps():
    x = keras.Input((6, 4))
    y = L.LSTM(8, return_sequences=True)(L.Masking()(x))
    return keras.Model(x, L.Dense(2)(L.GRU(5)(L.TimeDistributed(L.Dense(6, "relu"))(y))))


def declared_shape():
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(8, 3)(x)
    most = L.Lambda(lambda t: ops.max(t, axis=(1, 2)), output_shape=(8,))(y)
    return keras.Model(x, L.Dense(2)(L.Lambda(lambda t: 2 * t, output_shape=(8,))(most)))


AWKWARD = [
    depth_to_space, frames, lambda_activation, masked_steps, masked_words,
    nested_three_levels,
    nested_with_several_outputs, normalised_inputs, open_nested_input, several_inputs_and_outputs,
    siamese, stacked_cells, states, trainer, training_fixed, words,
]  # fmt: skip


@pytest.mark.parametrize("make", AWKWARD, ids=lambda make: make.__name__)
def test_awkward_models_shrink_exactly(make):
    with skipped_where_keras_refuses("no attribute 'depth_to_space'", "attribute `regularizer`"):
        model = randomize(make())
    small, groups = check_exact(model)
    assert not groups.coupling.channels.failures
    assert type(small) is type(model)
    assert small.count_params() < model.count_params()
    assert len(small.trainable_weights) == len(model.trainable_weights)
    assert spp.analyze(small).macs < spp.analyze(model).macs


@pytest.mark.parametrize("make", [several_inputs_and_outputs, siamese, frames, training_fixed])
def test_small_models_save_and_load_without_this_package(make, tmp_path):
    _, small, _ = masked_and_small(randomize(make()))
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert "keras_spp" not in small.to_json()
    x = keras.tree.map_structure(
        lambda tensor: np.ones((2, *tensor.shape[1:]), "float32"), small.input
    )
    assert_equal(outputs(small, x), outputs(loaded, x))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions_shrink_too(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        x = keras.Input((6, 6, 3))
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3)(x)))
        y = ops.concatenate([y, L.Conv2D(8, 1)(y)], axis=-1)
        model = randomize(keras.Model(x, L.Dense(2)(L.Flatten()(y))))
        small, _ = check_exact(model, exact=EXACT if policy == "float64" else HALF)
        assert small.layers[1].compute_dtype == model.layers[1].compute_dtype
        assert small.layers[1].kernel.dtype == model.layers[1].kernel.dtype
    finally:
        keras.config.set_dtype_policy(before)


def test_channels_may_come_first():
    # No map is as wide as it has channels: Keras 3.15 adds a bias to the wrong axis then, on
    # TensorFlow.
    x = keras.Input((3, 11, 11))
    first = {"data_format": "channels_first"}
    y = L.Conv2D(8, 3, padding="same", activation="relu", **first)(x)
    y = L.BatchNormalization(axis=1)(L.DepthwiseConv2D(3, **first)(y))
    y = L.MaxPooling2D(2, **first)(ops.concatenate([y, L.Conv2D(4, 1, **first)(y)], axis=1))
    model = randomize(keras.Model(x, L.Dense(2)(L.Flatten(**first)(y))))
    groups = masked_and_small(model)[2]
    assert [entry.size for entry in groups.sets] == [8, 4]
    check_exact(model)


def test_a_batch_size_may_be_fixed():
    x = keras.Input(batch_shape=(3, 6, 6, 3))
    y = L.Conv2D(8, 3, activation="relu")(x)
    y = ops.reshape(y, (3, 16, 8))
    model = randomize(keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv1D(4, 3)(y)))))
    small, _ = check_exact(model)
    assert spp.analyze(model).macs == 16 * 8 * 27 + 14 * 4 * 24 + 56 * 2
    assert small.inputs[0].shape == (3, 6, 6, 3)


@pytest.mark.parametrize("how", ["lora", "int8"])
def test_layers_that_compute_with_more_than_their_weights_keep_their_channels(how):
    x = keras.Input((6,))
    dense = L.Dense(8, name="adapted")
    last = L.Dense(2, name="last")
    y = L.Dense(8, name="next")(dense(L.Dense(8, name="before")(x)))
    model = randomize(keras.Model(x, last(y)))
    if how == "lora":
        dense.enable_lora(2)
    else:
        dense.quantize("int8")
    for name in ("before", "adapted"):
        assert Reason.ADAPTED.value in reasons(model, name)
    assert reasons(model, "next") == ""
    check_exact(model)


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.Operation):
    def call(self, x):
        return x * 2

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


@keras.saving.register_keras_serializable("tests")
class Halves(L.Layer):
    """Swaps the halves of the channels and doubles one."""

    def call(self, x):
        first, second = ops.split(x, 2, axis=-1)
        return ops.concatenate([2 * second, first], axis=-1)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow's graphs tell enough"
)
def test_what_has_no_rule_is_tried_out():
    x = keras.Input((6, 6, 3))
    y = Doubled()(L.Conv2D(8, 3, name="to_double", activation=lambda t: ops.relu(t) ** 2)(x))
    y = L.Lambda(lambda t: ops.maximum(t, -1.0) + 1.0)(L.Conv2D(8, 3, name="to_lambda")(y))
    y = Halves()(L.Conv2D(8, 1, name="to_halves")(y))
    y = ops.cumsum(L.Conv2D(8, 1, name="to_sum")(y), axis=-1)
    model = randomize(keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(4, 1, name="free")(y)))))
    for name in ("to_double", "to_lambda", "free"):
        assert reasons(model, name) == "", name
    assert reasons(model, "to_halves").startswith(Reason.FUNCTION.value)
    assert reasons(model, "to_sum").startswith(Reason.MIXES.value)
    check_exact(model)


def test_chance_and_branches_are_not_followed():
    @keras.saving.register_keras_serializable("tests")
    class Noise(L.Layer):
        def call(self, x):
            return x + keras.random.normal(ops.shape(x)[-1:], seed=1)

    x = keras.Input((6,))
    y = Noise()(L.Dense(8, name="noisy")(x))
    model = keras.Model(x, L.Dense(2)(y))
    assert reasons(model, "noisy").startswith(Reason.FUNCTION.value)


def test_attention_and_products_are_measured():
    x = keras.Input((5, 6))
    y = L.Dense(8, name="first")(x)
    y = L.MultiHeadAttention(2, 4, name="attention")(y, y)
    y = ops.matmul(y, ops.transpose(y, (0, 2, 1)))
    model = keras.Model(x, L.Dense(2)(L.Flatten()(y)))
    rows = {row.layer: row for row in spp.analyze(model)}
    assert rows["first"].reason == f"{Reason.MIXES.value} (attention)"
    assert rows["attention"].macs == 4 * 5 * 8 * 8 + 2 * 2 * 5 * 5 * 4
    assert next(row.macs for name, row in rows.items() if name.startswith("matmul")) == 5 * 5 * 8


def test_a_limit_for_each_channel_holds_them():
    limits = np.ones(8, "float32")
    x = keras.Input((6,))
    with skipped_where_keras_refuses("attribute `constraint`"):
        y = L.Dense(8, kernel_constraint=lambda w: ops.clip(w, -limits, limits), name="held")(x)
    y = L.Dense(8, kernel_constraint=lambda w: ops.clip(w, -1, 1), name="free")(y)
    model = keras.Model(x, L.Dense(2)(y))
    assert reasons(model, "held").startswith(Reason.HELD.value)
    assert reasons(model, "free") == ""


def test_a_variable_in_a_call_is_that_of_the_new_layer_and_keeps_its_size():
    x = keras.Input((6,))
    tied = L.Dense(8, name="tied")
    y = L.Dense(8, name="free")(tied(x))
    y = L.Dense(6)(y)
    z = ops.matmul(ops.tanh(y), tied.kernel)
    model = randomize(keras.Model(x, L.Dense(2)(z)))
    assert reasons(model, "tied").startswith(Reason.SHARED.value)
    small, _ = check_exact(model)
    assert small.get_layer("free").units == 4
    small.get_layer("tied").kernel.assign(0 * small.get_layer("tied").kernel)
    x = np.ones((2, 6), "float32")
    assert float(ops.max(ops.abs(outputs(small, x)[0] - outputs(model, x)[0]))) > 0


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow's graphs tell enough"
)
def test_a_lambda_declares_the_channels_that_are_left():
    assert check_exact(randomize(declared_shape()))[0].layers[1].filters == 4


def test_a_picture_times_a_number_is_not_sparse():
    x = keras.Input((6, 6, 3))
    y = L.Conv2D(8, 3, activation="relu")(x * 0.5)  # of which Keras says that it is sparse
    model = randomize(keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(6, 3)(0.5 * y)))))
    for how in ("channel", "column"):
        pruned = spp.prune(model, 0.5, granularity=how, round_to=1)
        assert_equal(*(outputs(part, np.ones((2, 6, 6, 3))) for part in (model, pruned)))


@pytest.mark.parametrize("use", [ops.add, lambda x, variable: ops.einsum("bc,c->bc", x, variable)])
def test_a_function_of_a_layers_variable_of_each_channel_keeps_them(use):
    x = keras.Input((6,))
    other = L.Dense(8, name="other")
    y = L.Dense(8, name="first")(other(x))
    y = use(y, other.bias)
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    assert spp.analyze(model)[1].groups == 0
    check_exact(model)


def test_a_lambda_that_computes_its_shape_keeps_its_channels():
    x = keras.Input((6,))
    y = L.Dense(8, name="first")(x)
    y = L.Lambda(lambda t: 2 * t, output_shape=lambda shape: (shape[0], 8))(y)
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    assert reasons(model, "first").startswith((Reason.HELD.value, Reason.FUNCTION.value))
    check_exact(model)


def test_functions_and_layers_that_cost_something_are_listed():
    x = keras.Input((8, 8, 3))
    y = ops.depthwise_conv(L.Conv2D(4, 1, name="first")(x), np.ones((3, 3, 4, 1), "float32"))
    y = L.PReLU(shared_axes=[3], name="of_places")(y)
    rows = spp.analyze(keras.Model(x, L.Dense(2)(L.Flatten()(y))))
    (row,) = [row for row in rows if row.type == "DepthwiseConv"]
    assert (row.macs, row.reason, row.groups) == (6 * 6 * 9 * 4, None, 0)
    assert next(row.reason for row in rows if row.layer == "of_places") is None
    assert rows.macs == 8 * 8 * 3 * 4 + 6 * 6 * 9 * 4 + 6 * 6 * 4 * 2


def test_what_is_not_trained_is_not_pruned():
    x = keras.Input((6,))
    frozen = L.Dense(8, name="frozen", trainable=False)
    model = keras.Model(x, L.Dense(2)(L.Dense(8, name="free")(frozen(x))))
    assert (reasons(model, "frozen"), reasons(model, "free")) == (Reason.FROZEN.value, "")
    assert not frameworks.of(model).label(model).reasons.get(6)


def test_a_row_without_masks_has_states_that_follow():
    x = keras.Input((5, 4))
    y = L.Masking()(x)
    y = L.LSTM(6, name="lstm")(y)
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    check_exact(model)
    hidden = keras.Model(x, L.Dense(2)(L.LSTM(6)(L.Masking()(L.Dense(8, name="first")(x)))))
    assert reasons(hidden, "first").startswith(Reason.MIXES.value)


def test_initializers_for_one_size_alone_do_not_keep_a_copy_from_being_built(tmp_path):
    table = np.random.default_rng(0).normal(size=(20, 8)).astype("float32")
    x = keras.Input((7,), dtype="int32")
    y = L.Embedding(20, 8, embeddings_initializer=keras.initializers.Constant(table))(x)
    y = L.Conv1D(6, 3, kernel_initializer=lambda shape, dtype=None: ops.ones((3, 8, 6)))(y)
    y = L.LSTM(5, recurrent_initializer=keras.initializers.Constant(np.ones((5, 20))))(y)
    model = keras.Model(x, L.Dense(2, kernel_initializer="orthogonal")(y))
    _, small, _ = masked_and_small(model)
    embedding, convolution, _, dense = small.layers[1:]
    assert embedding.embeddings.shape == (20, 4) and convolution.kernel.shape == (3, 4, 3)
    assert type(embedding.embeddings_initializer) is keras.initializers.RandomUniform
    assert type(dense.kernel_initializer) is keras.initializers.Orthogonal
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert_equal(*(outputs(part, np.arange(14).reshape(2, 7)) for part in (small, loaded)))
