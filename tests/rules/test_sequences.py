import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from keras_spp.util.nest import flatten
from tests.helpers.both_keras import TF_KERAS, L, array, keras, later, made, ops
from tests.helpers.compared import relative_error
from tests.helpers.random_weights import random_probabilities, randomize

SLOW = pytest.mark.slow
pytestmark = pytest.mark.usefixtures("keras")


def check(model, ratio=0.5):
    """Prunes half of every layer, compares, and returns the small model."""
    pruned = spp.prune(randomize(model), pruning_ratio=ratio, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    return small


def sequence(layer, shape=(6, 5)):
    """A recurrent layer between a convolution and one head for each of its outputs."""
    x = keras.Input(shape)
    y = layer(L.Conv1D(12, 3, activation="relu", name="first")(x))
    return keras.Model(x, [L.Dense(4)(output) for output in flatten(y)])


@pytest.mark.parametrize(
    "layer",
    [
        later.SimpleRNN(8, use_bias=False),
        pytest.param(later.GRU(8), marks=SLOW),
        later.GRU(8, reset_after=False, return_sequences=True),
        pytest.param(later.LSTM(8), marks=SLOW),
        later.LSTM(8, return_sequences=True, return_state=True),
        later.Bidirectional(later.GRU(8, return_sequences=True)),
        later.Bidirectional(later.LSTM(8), merge_mode="sum"),
        pytest.param(later.Bidirectional(later.LSTM(8), merge_mode=None), marks=SLOW),
        later.Bidirectional(later.LSTM(8), backward_layer=later.LSTM(8, go_backwards=True)),
        # Keras 3 itself takes them for as wide as the ones that go forward.
        pytest.param(
            later.Bidirectional(later.LSTM(8), backward_layer=later.LSTM(6, go_backwards=True)),
            marks=TF_KERAS,
        ),
        pytest.param(later.Bidirectional(later.LSTM(8, return_state=True)), marks=SLOW),
        later.RNN(later.SimpleRNNCell(8, use_bias=False), unroll=True),
        pytest.param(
            later.RNN(later.GRUCell(8), return_sequences=True, return_state=True),
            marks=pytest.mark.slow,
        ),
        pytest.param(later.RNN(later.LSTMCell(8), go_backwards=True), marks=SLOW),
        later.Bidirectional(later.RNN(later.GRUCell(8)), merge_mode="ave"),
        pytest.param(
            later.Bidirectional(
                later.RNN(later.GRUCell(8)), backward_layer=later.LSTM(6, go_backwards=True)
            ),
            marks=TF_KERAS,
        ),
    ],
    ids=repr,
)
def test_the_units_of_a_recurrent_layer_are_channels(layer):
    model = sequence(made(layer))
    small = check(model)
    assert small.get_layer("first").filters == 6
    inner = getattr(small.layers[2], "forward_layer", small.layers[2])
    assert inner.cell.units == 4
    assert spp.analyze(model).macs > 2.5 * spp.analyze(small).macs


@pytest.mark.parametrize(
    "make",
    [
        lambda cells: L.RNN(cells),
        lambda cells: L.RNN(L.StackedRNNCells(cells), return_sequences=True, return_state=True),
        pytest.param(lambda cells: L.Bidirectional(L.RNN(cells)), marks=SLOW),
        pytest.param(
            lambda cells: L.Bidirectional(L.RNN(cells, return_state=True), merge_mode="sum"),
            marks=SLOW,
        ),
    ],
    ids=["list", "stacked", "bidirectional", "bidirectional states"],
)
def test_each_of_several_cells_reads_the_units_of_the_one_below(make, tmp_path):
    model = sequence(make([L.LSTMCell(8), L.GRUCell(12), L.SimpleRNNCell(6, use_bias=False)]))
    small = check(model)
    layer = getattr(small.layers[2], "forward_layer", small.layers[2])
    assert [inner.units for inner in layer.cell.cells] == [4, 6, 3]
    assert spp.analyze(model).macs > 2.5 * spp.analyze(small).macs
    small.save(tmp_path / "small.keras")
    assert relative_error(small, keras.models.load_model(tmp_path / "small.keras")) == 0


@SLOW  # the one in a TimeDistributed does so, too
def test_a_pruned_layer_of_cells_trains_saves_and_loads(tmp_path):
    model = sequence(L.RNN([L.LSTMCell(8), L.GRUCell(8)]))
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=schedule)
    random = np.random.default_rng(0)
    data = random.normal(size=(16, 6, 5)), random.normal(size=(16, 4))
    pruned.compile("sgd", "mse")
    pruned.fit(*data, batch_size=2, epochs=4, verbose=0, callbacks=[spp.SPPCallback()])
    assert spp.Pruner(pruned).progress().finished
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert relative_error(pruned, spp.shrink(loaded)) <= 2e-5


def test_the_macs_of_cells_are_those_of_layers_on_top_of_each_other():
    stacked = sequence(L.RNN([L.LSTMCell(8), L.GRUCell(6)]))
    x = keras.Input((6, 5))
    y = L.Conv1D(12, 3)(x)
    apart = keras.Model(x, L.Dense(4)(L.GRU(6)(L.LSTM(8, return_sequences=True)(y))))
    assert spp.analyze(stacked).macs == spp.analyze(apart).macs


def test_activations_and_initializers_of_a_users_own_are_kept_in_a_cell():
    def activation(x):
        return ops.tanh(x) / 2

    model = sequence(L.RNN([L.LSTMCell(8), L.GRUCell(6, activation=activation)]))
    small = check(model)
    upper = small.layers[2].cell.cells[1]
    assert upper.activation is activation and upper.units == 3
    assert check(sequence(L.LSTM(8, recurrent_initializer=lambda s, dtype=None: ops.zeros(s))))


def test_macs_of_a_recurrent_layer_count_every_step_and_both_kernels():
    rows = {row.layer: row.macs for row in spp.analyze(sequence(L.GRU(8, name="gru")))}
    assert rows["gru"] == 4 * (12 * 24 + 8 * 24)


def test_a_given_state_is_as_wide_as_the_units():
    x, z = keras.Input((6, 5)), keras.Input((4, 3))
    _, *state = L.LSTM(12, return_state=True, name="encoder")(x)
    y = L.LSTM(12, return_sequences=True, name="decoder")(z, initial_state=state)
    small = check(keras.Model([x, z], L.Dense(2)(y)))
    assert small.get_layer("encoder").units == small.get_layer("decoder").units == 6


def test_states_given_to_cells_and_to_two_directions_are_as_wide_as_their_units():
    x, z = keras.Input((6, 5)), keras.Input((4, 3))

    def cells(**options):
        return L.RNN([L.LSTMCell(8), L.GRUCell(12)], **options)

    _, *state = cells(return_state=True, name="encoder")(x)
    y = cells(name="decoder")(z, initial_state=state)
    _, *both = L.Bidirectional(L.LSTM(8, return_state=True))(x)
    w = L.Bidirectional(L.LSTM(8), name="two")(z, initial_state=both)
    small = check(keras.Model([x, z], [L.Dense(2)(y), L.Dense(2)(w)]))
    for name in ("encoder", "decoder"):
        assert [inner.units for inner in small.get_layer(name).cell.cells] == [4, 6]
    assert small.get_layer("two").forward_layer.units == 4


def test_constant_states_keep_the_units():
    x = keras.Input((6, 5), batch_size=3)
    y = L.Dense(12, name="first")(x)
    y = L.GRU(8, name="gru")(y, initial_state=ops.ones((3, 8)))
    model = keras.Model(x, L.Dense(2)(y))
    assert spp.analyze(model)[1].reason == Reason.SHAPE
    assert check(model).get_layer("first").units == 6


@pytest.mark.parametrize(
    "layer", [later.GRU(8), later.Bidirectional(later.RNN(later.LSTMCell(8)))], ids=repr
)
def test_a_given_mask_is_no_state(layer):
    x = keras.Input((6, 5))
    y = made(layer)(L.Dense(12, name="first")(x), mask=ops.any(x > 0.5, -1))
    model = keras.Model(x, L.Dense(2)(y))
    small = check(model)
    assert small.get_layer("first").units == 6
    assert spp.analyze(model).macs > 2.5 * spp.analyze(small).macs


def test_a_convolutional_recurrent_layer():
    x = keras.Input((4, 8, 8, 3))
    y = L.ConvLSTM2D(8, 3, padding="same", return_sequences=True, name="first")(x)
    y = L.ConvLSTM2D(6, 3, name="second")(y)
    model = keras.Model(x, L.Dense(2)(L.Flatten()(y)))
    assert {r.layer: r.macs for r in spp.analyze(model)}["second"] == 4 * 36 * 9 * (8 + 6) * 24
    small = check(model)
    assert [small.get_layer(name).filters for name in ("first", "second")] == [4, 3]


def own_cell():
    """Does something else with its input."""

    @keras.saving.register_keras_serializable("sequence")
    class OwnCell(L.GRUCell):
        def call(self, inputs, states, training=False):
            return super().call(ops.flip(inputs, -1), states, training=training)

    return OwnCell(8)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.LSTM(8, activation="softmax"),
        lambda: L.Bidirectional(L.LSTM(8, activation="softmax", return_state=True)),
        lambda: L.RNN(own_cell()),
        lambda: L.RNN([L.LSTMCell(8), own_cell()]),
        lambda: L.Bidirectional(L.RNN(own_cell())),
        pytest.param(lambda: L.GRU(8, time_major=True), marks=TF_KERAS),
    ],
    ids=["softmax", "states", "cell", "cells", "bidirectional", "time major"],
)
def test_what_is_not_followed_is_frozen_with_a_reason_and_exact(layer):
    layer = layer()
    if getattr(layer, "time_major", False):
        x = keras.Input(batch_shape=(3, 5, 4))
        model = keras.Model(x, L.Dense(2)(layer(L.Dense(12)(x))))
    else:
        model = sequence(layer)
    rows = list(spp.analyze(model))
    assert all(row.prunable or row.reason for row in rows)
    assert any(row.reason and str(Reason.OUTPUT) not in row.reason for row in rows)
    x = keras.Input(batch_shape=model.input_shape)
    y = L.Dense(x.shape[-1])(L.Dense(12, name="before")(x))
    check(keras.Model(x, model(y)))


def test_a_mask_reaches_the_layers_of_the_pruned_model():
    x = keras.Input((12,), dtype="int32")
    y = L.Embedding(20, 16, mask_zero=True, name="table")(x)
    y = L.LSTM(8)(L.LSTM(8, return_sequences=True)(L.Dense(12)(y)))
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    words = np.random.default_rng(0).integers(0, 4, (5, 12)) * np.repeat([1, 0], 6)
    np.testing.assert_allclose(*map(array, (model(words), pruned(words))), rtol=1e-5)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert small.get_layer("table").output_dim == 8
    before, after = map(array, (pruned(words), small(words)))
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)


def test_attention_keeps_its_channels_and_has_its_products_counted():
    x = keras.Input((10, 8))
    y = L.Dense(12, name="before")(x)
    y = L.MultiHeadAttention(2, 4, name="attention")(y, y)
    rows = {row.layer: row for row in spp.analyze(keras.Model(x, L.Dense(3)(y)))}
    assert rows["attention"].macs == 4 * 10 * 12 * 2 * 4 + 2 * 10 * 10 * 2 * 4
    assert rows["before"].reason == "mixes channels (attention)"


def per_step(inner):
    """A layer applied to every image of a short film."""
    x = keras.Input((4, 8, 8, 3))
    y = L.TimeDistributed(inner)(L.TimeDistributed(L.BatchNormalization())(x))
    y = L.TimeDistributed(L.Flatten())(y)
    return keras.Model(x, L.Dense(2)(L.LSTM(8)(y)))


def image_model():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(12, 3, name="inside")(x)))
    return keras.Model(x, L.MaxPooling2D(2)(L.Conv2D(8, 3)(y)))


@pytest.mark.parametrize("inner", [image_model, lambda: L.Conv2D(12, 3, name="inside")])
def test_the_inside_of_a_time_distributed_layer_is_pruned_and_counted_per_step(inner, tmp_path):
    model = per_step(inner())
    assert {row.layer: row.macs for row in spp.analyze(model)}["inside"] == 4 * 36 * 27 * 12
    small = check(model)
    assert spp.analyze(model).macs > 2.5 * spp.analyze(small).macs
    small.save(tmp_path / "small.keras")
    assert relative_error(small, keras.models.load_model(tmp_path / "small.keras")) == 0


def test_a_pruned_layer_in_a_time_distributed_one_trains_saves_and_loads(tmp_path):
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    model = per_step(L.Conv2D(12, 3))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=schedule)
    random = np.random.default_rng(0)
    data = random.normal(size=(8, 4, 8, 8, 3)), random.normal(size=(8, 2))
    pruned.compile("sgd", "mse")
    pruned.fit(*data, batch_size=2, epochs=4, verbose=0, callbacks=[spp.SPPCallback()])
    assert spp.Pruner(pruned).progress().finished
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert relative_error(pruned, loaded) == 0
    assert relative_error(pruned, spp.shrink(loaded)) <= 2e-5


@TF_KERAS  # Keras 3 takes models with one input alone
def test_a_time_distributed_model_with_several_inputs():
    inner = [keras.Input((8, 8, 3)), keras.Input((8, 8, 2))]
    y = L.Add()([L.Conv2D(8, 3, name="inside")(inner[0]), L.Conv2D(8, 3)(inner[1])])
    model = keras.Model(inner, L.GlobalMaxPooling2D()(L.Conv2D(8, 1)(y)))
    x = [keras.Input((4, 8, 8, 3)), keras.Input((4, 8, 8, 2))]
    y = L.Dense(3)(L.TimeDistributed(model)(x))
    check(keras.Model(x, y))


@TF_KERAS
def test_a_stateful_layer_is_reset_with_the_pruned_model():
    x = keras.Input(batch_shape=(2, 5, 3))
    model = randomize(keras.Model(x, L.Dense(3)(L.LSTM(8, stateful=True)(L.Dense(12)(x)))))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    data = np.ones((2, 5, 3), "float32")
    first, second = pruned(data), pruned(data)
    assert np.abs(first - second).max() > 1e-3
    pruned.reset_states()
    np.testing.assert_array_equal(first, pruned(data))
