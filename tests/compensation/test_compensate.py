import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.calibrated import calibrate
from tests.helpers.random_weights import randomize, shrunk_at_random
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.slow import slow_but
from tests.zoo.models import L, inputs_for, random_model, random_probabilities


def images(count=256, seed=0, size=8):
    """Smooth images: their pixels, and so their channels, say something of each other."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, size // 2, size // 2, 3)).astype("float32")
    return tf.image.resize(coarse, (size, size)).numpy() + 0.1 * random.normal(
        size=(count, size, size, 3)
    ).astype("float32")


def residual_net(bias=False, normalised=True):
    x = inputs = keras.Input((8, 8, 3))
    for number in range(3):
        y = L.Conv2D(16, 3, padding="same", use_bias=bias, name=f"a{number}")(x)
        y = L.BatchNormalization()(y) if normalised else y
        y = L.ReLU()(y)
        y = L.Conv2D(16, 3, padding="same", use_bias=bias, name=f"b{number}")(y)
        y = L.BatchNormalization()(y) if normalised else y
        x = L.ReLU()(L.Add()([x, y]) if number else y)
    x = L.GlobalAveragePooling2D()(x)
    model = randomize(keras.Model(inputs, L.Dense(10, name="top")(x)))
    calibrate(model, images(64))
    return model


def halved(model, granularity="channel"):
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, granularity=granularity)
    return shrunk_at_random(pruned)


def lost(model, small, x):
    expected = model(x, training=False).numpy()
    return float(np.square(small(x, training=False) - expected).mean() / expected.var())


@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_small_network_gives_much_more_of_what_the_whole_one_gave(granularity, bias):
    model = residual_net(bias)
    small = halved(model, granularity)
    held_out = images(seed=1)
    before = lost(model, small, held_out)
    assert spp.compensate(small, model, images()) is small
    assert lost(model, small, held_out) < 0.4 * before


def test_a_layer_is_solved_for_like_numpy_would():
    x = np.random.default_rng(0).normal(size=(400, 12)).astype("float32")
    x = x @ np.random.default_rng(1).normal(size=(12, 12)).astype("float32")
    model = randomize(keras.Sequential([keras.Input((12,)), L.Dense(20), L.Dense(3)]))
    small = halved(model)
    spp.compensate(small, model, x)
    hidden = small.layers[0](x).numpy()
    hidden = np.concatenate([hidden, np.ones((400, 1))], 1)
    best = np.linalg.lstsq(hidden, model(x).numpy(), rcond=None)[0]
    error = np.square(hidden @ best - model(x)).mean()
    assert np.square(small(x) - model(x)).mean() <= 1.05 * error + 1e-7


def test_a_sum_comes_closer_if_its_last_layer_makes_up_for_the_other_input():
    model, errors = residual_net(), []
    narrow = {f"a{number}": 0.75 for number in range(3)}  # the sums keep all their channels
    for residual in (False, True):
        small = shrunk_at_random(spp.prune(model, narrow, round_to=1))
        spp.compensate(small, model, images(), residual=residual)
        sums = [
            keras.Model(
                part.input, next(layer for layer in part.layers if isinstance(layer, L.Add)).output
            )
            for part in (model, small)
        ]
        errors.append(lost(*sums, images()))
    assert errors[1] < errors[0]


def normalised_net(**options):
    """A normalisation behind each of two layers, with statistics of its own inputs."""
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for filters in (24, 16):
        x = L.Conv2D(filters, 3, use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(**options)(x))
    x = L.Dense(4)(L.GlobalAveragePooling2D()(x))
    return spp.reestimate_batch_norm(randomize(keras.Model(inputs, x)), images())


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_normalisation_does_in_training_what_it_does_in_inference(options):
    model, x = normalised_net(**options), images()
    small = halved(model)
    before = np.square(small(x) - model(x)).mean()
    spp.compensate(small, model, x)
    assert np.square(small(x) - model(x)).mean() < 0.7 * before
    # The second one's: the first layer has lost no inputs.
    layer, original = (
        [layer for layer in part.layers if isinstance(layer, L.BatchNormalization)][1]
        for part in (small, model)
    )
    same = np.isin(layer.moving_variance, original.moving_variance)
    assert same.all() if layer.gamma is None else not same.any()
    if not options:
        np.testing.assert_allclose(small(x, training=True), small(x), rtol=0.01, atol=0.01)


def test_to_compensate_twice_changes_nothing_more():
    model, x = normalised_net(), images()
    small = halved(model)
    spp.compensate(small, model, x, ridge=1e-9)
    once = small(x).numpy()
    spp.compensate(small, model, x, ridge=1e-9)
    np.testing.assert_allclose(small(x), once, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", slow_but(range(40), range(3)))
def test_random_networks_come_closer_layer_by_layer(seed):
    model = random_model(seed)
    x = np.concatenate([inputs_for(model, seed, 64)[0] for seed in range(2)])
    calibrate(model, x)
    small = halved(model, "channel" if seed % 2 else "column")
    weights = small.get_weights()
    _, report = spp.compensate(small, model, x, return_report=True)
    assert len(report)
    for row in report:
        assert row.reason or row.after <= row.before * (1 + 1e-6) + 1e-9, (seed, row)
    if any(row.before for row in report):
        assert any((a != b).any() for a, b in zip(weights, small.get_weights(), strict=True)), seed
    # Columns that are gone stay gone.
    for layer, old in zip(small.weights, weights, strict=True):
        if "kernel" in layer.name:
            gone = (old == 0).all(-1)
            assert (layer.numpy()[gone] == 0).all(), (seed, layer.name)


def test_twice_is_bit_for_bit_the_same_and_other_positions_are_not():
    model, results = residual_net(), []
    for seed in (0, 0, 1):
        small = halved(model)
        # Fewer positions than there are.
        results.append(spp.compensate(small, model, images(), rows=2_000, seed=seed))
    a, b, c = (model.get_weights() for model in results)
    assert all((one == two).all() for one, two in zip(a, b, strict=True))
    assert len(c) == len(a) and any((one != two).any() for one, two in zip(a, c, strict=True))


def test_a_dense_layer_with_more_inputs_than_samples():
    x = images(64, size=16)
    model = randomize(
        keras.Sequential([
            keras.Input((16, 16, 3)), L.Conv2D(8, 3, activation="relu"), L.Flatten(), L.Dense(5)
        ])
    )  # fmt: skip
    small = halved(model)
    before = lost(model, small, images(64, 1, 16))
    spp.compensate(small, model, x)
    assert lost(model, small, images(64, 1, 16)) < before


def test_frozen_recurrent_and_unusual_layers_are_left_alone_and_named():
    inputs = keras.Input((6, 8))
    x = L.Dense(16, name="wide")(inputs)
    x = L.LSTM(16, return_sequences=True, name="memory")(x)
    x = L.Dense(16, name="frozen", trainable=False)(x)
    x = L.EinsumDense("abc,cd->abd", (None, 6), name="einsum")(x)
    model = randomize(keras.Model(inputs, x))
    small = halved(model)
    data = np.random.default_rng(0).normal(size=(32, 6, 8))
    weights = {layer.name: layer.get_weights() for layer in small.layers}
    _, report = spp.compensate(small, model, data, return_report=True)
    reasons = {row.layer: row.reason for row in report}
    assert reasons == {
        "wide": None,
        "memory": "recurrent: what arrives depends on its own outputs",
        "frozen": "not trainable",
        "einsum": "no kernel that is multiplied at every position (EinsumDense)",
    }
    for name in ("memory", "frozen", "einsum"):
        for old, new in zip(weights[name], small.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    assert "left alone" in str(report) and report.to_dict()["rows"][1]["layer"] == "memory"


BAD = {
    "nan": (lambda x: np.where(x > 2, np.nan, x), "NaN or infinity"),
    "constant": (lambda x: np.ones_like(x), "same sample again and again"),
    "few": (lambda x: x[:15], "at least 16 samples"),
    "shape": (lambda x: x[:, :5, :, :1], "what the model takes"),
    "dict": (lambda x: {"x": x}, "must be a tf.data.Dataset"),
    "text": (lambda x: "photos", "must be a tf.data.Dataset"),
    "empty": (lambda x: x[:0], "at least one batch|at least 1 samples"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_get_one_sentence_and_leave_the_model_as_it_was(kind):
    model = residual_net()
    small = halved(model)
    before = small.get_weights(), model.get_weights()
    change, message = BAD[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises((ValueError, TypeError), match=message) as error:
            spp.compensate(small, model, change(images(64)))
    assert "representative_data" in assert_one_sentence(error)
    for weights, part in zip(before, (small, model), strict=True):
        for old, new in zip(weights, part.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_samples_that_overflow_inside_are_told_by_layer():
    model = keras.Sequential([
        keras.Input((8,)), L.Dense(16), L.Rescaling(1e30), L.Rescaling(1e30), L.Dense(4, name="top")
    ])  # fmt: skip
    small = halved(randomize(model))
    before = small.get_weights()
    with pytest.raises(ValueError, match="NaN or infinity in layer 'top'") as error:
        spp.compensate(small, model, np.random.default_rng(0).normal(size=(32, 8)))
    assert_one_sentence(error)
    for old, new in zip(before, small.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_models_that_do_not_belong_together_are_refused(tmp_path):
    model = residual_net()
    small = halved(model)
    for other, message in (
        (keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(10)]), "has other layers"),
        (halved(model), "differs in layer 'a0'"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            spp.compensate(small, other, images(32))
        assert_one_sentence(error)
    with pytest.raises(TypeError, match="`original` must be a tf_keras model"):
        spp.compensate(small, "model", images(32))
    small.save(tmp_path / "small.keras")
    with pytest.raises(ValueError, match="compensate first, then save") as error:
        spp.compensate(keras.models.load_model(tmp_path / "small.keras"), model, images(32))
    assert_one_sentence(error)


def test_pruning_has_to_have_ended():
    model = residual_net()
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    with pytest.raises(ValueError, match=r"still being pruned .* train until") as error:
        spp.compensate(pruned, model, images(32))
    assert_one_sentence(error)


def test_a_compensated_model_is_exported_like_any_other(tmp_path):
    model = residual_net()
    small = halved(model)
    spp.compensate(small, model, images())
    spp.export_tflite(small, tmp_path / "small.tflite", original=model)
    report = spp.parity(small, tmp_path / "small.tflite", images(16))
    assert report[0].max_difference < 1e-4 * report[0].largest


def test_a_model_trained_on_after_shrinking_can_be_compensated_too():
    model = residual_net()
    small = halved(model)
    small.compile(keras.optimizers.SGD(1e-3), "mse")
    small.fit(images(), model.predict(images(), verbose=0), verbose=0)
    before = lost(model, small, images(seed=1))
    spp.compensate(small, model, images())
    assert lost(model, small, images(seed=1)) < before
