"""After its layers have been solved for, a small network is fitted to the original's outputs."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.compensation import fitting
from tests.helpers.both_keras import L, array, keras
from tests.helpers.random_weights import randomize

pytestmark = pytest.mark.usefixtures("keras")


def samples(count=192, seed=0):
    """Images whose pixels say something of each other."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, 4, 4, 3)).repeat(2, 1).repeat(2, 2)
    return (coarse + 0.1 * random.normal(size=(count, 8, 8, 3))).astype("float32")


def net(end=None, *behind):
    x = inputs = keras.Input((8, 8, 3))
    y = L.Conv2D(16, 3, activation="relu", name="first")(x)
    y = L.BatchNormalization(name="norm")(y)
    y = L.Dropout(0.5)(L.Conv2D(16, 3, activation="relu", name="second")(y))
    for layer in behind:
        y = layer(y)
    y = L.Dense(5, end, name="top")(L.GlobalAveragePooling2D()(y))
    return randomize(keras.Model(inputs, y))


def compress(model, x=None, **options):
    x = samples() if x is None else x
    options = {"pruning_ratio": 0.5, "round_to": 1, "verbose": 0, **options}
    return spp.compress(model, x, return_report=True, **options)


def lost(model, small):
    x = samples(seed=1)
    expected = array(model(x, training=False))
    return float(np.square(array(small(x, training=False)) - expected).mean())


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_the_outputs_come_closer_and_what_is_pruned_stays_so(granularity):
    model = net()
    before = [array(weight) for weight in model.weights]
    solved, told = compress(model, granularity=granularity, epochs=0)
    fitted, report = compress(model, granularity=granularity, epochs=40)
    assert (told.epochs, told.reason, report.epochs, report.reason) == (0, None, 40, None)
    assert lost(model, fitted) < 0.9 * lost(model, solved)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, array(weight))
    for one, other in zip(solved.weights, fitted.weights, strict=True):
        one, other = array(one), array(other)
        if one.ndim > 1:
            np.testing.assert_array_equal(one == 0, other == 0)
    norms = [part.get_layer("norm") for part in (solved, fitted)]
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(*(array(getattr(norm, name)) for norm in norms))


def test_of_probabilities_the_logarithms_come_closer():
    model = net("softmax")
    solved, fitted = (compress(model, epochs=epochs)[0] for epochs in (0, 40))
    x = samples(seed=1)
    wanted, *found = (np.log(array(part(x, training=False))) for part in (model, solved, fitted))
    errors = [np.square(logarithms - wanted).mean() for logarithms in found]
    assert errors[1] < 0.9 * errors[0]


def test_layers_that_are_frozen_stay_as_they_are():
    model = net()
    model.get_layer("first").trainable = False
    solved, fitted = (compress(model, epochs=epochs)[0] for epochs in (0, 40))
    for name, same in (("first", True), ("second", False)):
        kernels = [array(part.get_layer(name).kernel) for part in (solved, fitted)]
        assert np.array_equal(*kernels) == same
    assert not fitted.get_layer("first").trainable


def test_what_does_not_help_is_undone(monkeypatch):
    monkeypatch.setattr(fitting, "RATES", (1e3, 1e2))
    model = net()
    solved, _ = compress(model, epochs=0)
    undone, report = compress(model, epochs=1)
    assert report.epochs == 0 and "did not help" in report.reason in str(report)
    for one, other in zip(solved.weights, undone.weights, strict=True):
        np.testing.assert_array_equal(array(one), array(other))


def test_a_rate_that_is_too_high_leaves_it_to_the_next_as_if_it_had_not_been_tried(monkeypatch):
    model = net()
    fitted = []
    for rates in ((1e3, 1e-3), (1e-3,)):
        monkeypatch.setattr(fitting, "RATES", rates)
        small, report = compress(model, epochs=3)
        assert report.epochs == 3 and report.reason is None
        fitted.append(small)
    for one, other in zip(*(small.weights for small in fitted), strict=True):
        np.testing.assert_array_equal(array(one), array(other))


def test_what_has_no_derivative_is_left_as_it_was_solved_for(monkeypatch):
    def none(*_):
        raise LookupError("gradient registry has no entry\nfor this")

    from keras_spp import frameworks

    model = net()
    solved, _ = compress(model, epochs=0)
    monkeypatch.setattr(frameworks.of(model), "derivatives", none)
    same, report = compress(model, epochs=1)
    assert report.reason == "no derivatives (gradient registry has no entry)"
    np.testing.assert_array_equal(array(solved.weights[0]), array(same.weights[0]))


def test_nothing_is_fitted_where_no_samples_can_tell_whether_it_helps():
    _, report = compress(net(), samples(16), epochs=1)
    assert report.held_back == 0 and "no samples are left" in report.reason


def test_nothing_is_fitted_where_there_is_nothing_to_fit_to(monkeypatch):
    model = net()
    _, report = compress(keras.Model(model.inputs, L.Lambda(classes)(model.output)), epochs=1)
    assert report.reason == "no output is of floats"
    monkeypatch.setattr(fitting, "_MOST", 28 * 5 * 4 - 1)
    _, report = compress(model, epochs=1)
    assert report.reason.startswith("what the original gives for one batch takes more than ")


def classes(logits):
    return keras.ops.cast(logits > 0, "int32") if hasattr(keras, "ops") else logits > 0


def test_only_so_many_outputs_are_held(monkeypatch):
    monkeypatch.setattr(fitting, "_MOST", 60 * 5 * 4)  # two batches of 28 outputs
    seen = []
    fitted = fitting._fitting
    monkeypatch.setattr(fitting, "_fitting", lambda *given: seen.append(given[2]) or fitted(*given))
    compress(net(), epochs=1)
    (batches,) = seen
    assert [len(batch.wanted[0]) for batch in batches] == [28, 28]


def test_models_of_one_batch_size_and_samples_of_several_sizes():
    def two(x):
        y = L.Conv2D(16, 3, activation="relu")(x)
        return randomize(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(y))))

    _, report = compress(two(keras.Input(batch_shape=(8, 8, 8, 3))), epochs=1)
    assert report.epochs == 1
    mixed = [samples(64), samples(64)[:, :6]]
    _, report = compress(two(keras.Input((None, None, 3))), lambda: iter(mixed), epochs=1)
    assert report.epochs == 1
