import json

import numpy as np
import pytest
import tensorflow as tf

from keras_spp.export.parity import parity
from keras_spp.export.tflite import export_tflite
from tests.export.test_quantization import normal
from tests.export.test_tflite import applied, run, two_inputs


@pytest.fixture
def classifier(keras, tmp_path_factory):
    """A model, a file of it that differs from it, and samples."""
    model = keras.Sequential(
        [keras.Input((6,), name="x"), keras.layers.Dense(40), keras.layers.Dense(5, name="y")]
    )
    path = tmp_path_factory.mktemp("parity") / "m.tflite"
    export_tflite(noisy(keras, model), path, batch_size=4)
    return model, path, normal(22, 6)


def noisy(keras, model):
    other = keras.models.clone_model(model)
    other.set_weights([weight + 0.1 * normal(*weight.shape) for weight in model.get_weights()])
    return other


def outputs(path, x, size):
    """What a file gives, by hand, and without the fillers."""
    filled = np.concatenate([x, np.repeat(x[-1:], -len(x) % size, 0)])
    parts = [run(path, [filled[at : at + size]])[0] for at in range(0, len(filled), size)]
    return np.concatenate(parts)[: len(x)]


def test_the_numbers_are_those_of_all_samples_and_of_no_filler(classifier):
    model, path, x = classifier
    want, got = np.asarray(model(x)), outputs(path, x, 4)
    labels = np.random.default_rng(0).integers(0, 5, len(x))
    for data in (
        [(x, labels)],
        [(x[:9], labels[:9]), (x[9:], labels[9:, None])],
        [(x, np.eye(5)[labels])],
        tf.data.Dataset.from_tensor_slices((x, labels)).batch(7),
    ):
        report = parity(model, path, data)
        (row,) = report
        assert report.samples == len(x) and row.output == "y"
        np.testing.assert_allclose(row.max_difference, np.abs(want - got).max(), rtol=1e-5)
        np.testing.assert_allclose(row.mean_difference, np.abs(want - got).mean(), rtol=1e-5)
        np.testing.assert_allclose(row.largest, np.abs(want).max(), rtol=1e-5)
        assert row.top1_agreement == (want.argmax(1) == got.argmax(1)).mean() < 1
        assert row.keras_top1 == (want.argmax(1) == labels).mean()
        assert row.tflite_top1 == (got.argmax(1) == labels).mean() != row.keras_top1


def test_top1_is_left_out_where_it_has_no_meaning(keras, classifier, tmp_path):
    model, path, x = classifier
    (row,) = parity(model, path, x)
    assert row.top1_agreement is not None and row.keras_top1 is row.tflite_top1 is None
    (row,) = parity(model, path, [(x, normal(22, 5))])
    assert row.keras_top1 is None
    single = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    export_tflite(single, tmp_path / "m.tflite")
    (row,) = parity(single, tmp_path / "m.tflite", [(x, np.zeros(22, int))])
    assert row.top1_agreement is row.keras_top1 is None


def test_no_more_samples_than_asked_for(classifier):
    model, path, x = classifier
    labels = np.arange(22) % 5
    few = parity(model, path, tf.data.Dataset.from_tensors((x, labels)).repeat(), samples=30)
    same = parity(model, path, [(np.concatenate([x, x[:8]]), np.concatenate([labels, labels[:8]]))])
    assert few.samples == 30
    np.testing.assert_allclose(few[0].mean_difference, same[0].mean_difference, rtol=1e-6)
    assert few[0].keras_top1 == same[0].keras_top1


def test_outputs_are_compared_one_by_one_with_their_own_labels(keras, tmp_path):
    model = two_inputs(keras)
    export_tflite(noisy(keras, model), tmp_path / "m.tflite")
    x = [normal(9, 12, 10, 3), normal(9, 5)]
    labels = {"y_class": np.asarray(model(x)[0]).argmax(-1), "b_box": np.ones(9, int)}
    report = parity(model, tmp_path / "m.tflite", [(x, labels)])
    assert [row.output for row in report] == ["y_class", "b_box", "concatenate"]
    got = np.concatenate(
        [run(tmp_path / "m.tflite", [a[at : at + 1] for a in x])[1] for at in range(9)]
    )
    want = np.asarray(model(x)[1])
    np.testing.assert_allclose(report[1].max_difference, np.abs(want - got).max(), rtol=1e-4)
    assert report[0].keras_top1 == 1 and report[2].keras_top1 is None
    assert report[1].keras_top1 == (want.argmax(-1) == 1).mean()


def test_a_model_with_a_fixed_batch_is_compared(keras, tmp_path):
    x = keras.Input(batch_shape=(8, 16))
    model = keras.Model(
        x, applied(keras, lambda y: tf.reshape(y, [8, -1]), keras.layers.Dense(4)(x))
    )
    export_tflite(model, tmp_path / "m.tflite", batch_size=8)
    report = parity(model, tmp_path / "m.tflite", normal(13, 16))
    assert report.samples == 13 and report[0].max_difference < 1e-5


def test_outputs_that_are_not_numbers_do_not_hide(keras, tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, applied(keras, tf.math.log, x))
    export_tflite(model, tmp_path / "m.tflite")
    data = [np.ones((2, 3)), -np.ones((2, 3)), np.ones((2, 3))]
    (row,) = parity(model, tmp_path / "m.tflite", data)
    assert np.isnan(row.max_difference) and np.isnan(row.mean_difference)


def test_the_report_prints_and_converts_to_json(classifier):
    model, path, x = classifier
    report = parity(model, path, [(x, np.zeros(22, int))])
    assert "22 samples" in str(report) and f"{report[0].tflite_top1:.2%}" in str(report)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["samples"] == 22 and data["rows"] == report.rows


# --- bad input ---


def test_a_file_of_another_model_is_refused(keras, classifier, tmp_path):
    _, path, x = classifier
    with pytest.raises(ValueError, match=r"`path` .* inputs of shape \(4, 6\) where .* \(None, 12"):
        parity(two_inputs(keras), path, [x])
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"`path` .* outputs of shape \(4, 5\) where"):
        parity(other, path, x)


def test_a_damaged_file_is_refused(classifier, tmp_path):
    model, path, x = classifier
    (tmp_path / "cut.tflite").write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"`path` .*cut.tflite' cannot be loaded"):
        parity(model, tmp_path / "cut.tflite", x)
    with pytest.raises(FileNotFoundError, match=r"`path` .*none.tflite' does not exist"):
        parity(model, tmp_path / "none.tflite", x)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(np.zeros((4, 6)), np.zeros(3, int))], "a label for each sample but yields 3 for 4"),
        (np.zeros((0, 6)), "must hold at least one batch but is empty"),
        ([np.zeros((4, 7))], r"shape \(samples, 6\) for the input 'x' but yields \(4, 7\)"),
    ],
)
def test_data_that_does_not_fit_is_refused(classifier, data, message):
    with pytest.raises(ValueError, match=f"`data` .*{message}"):
        parity(*classifier[:2], data)


@pytest.mark.parametrize("samples", [0, 1.5, True])
def test_a_number_of_samples_that_is_none_is_refused(classifier, samples):
    with pytest.raises(ValueError, match=rf"`samples` must be None or .* but is {samples}"):
        parity(*classifier, samples=samples)
