import json
import warnings

import keras as keras3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from keras_spp.export.converter import Converter
from keras_spp.export.parity import parity
from keras_spp.export.quantization import CALIBRATION, calibration_batches
from keras_spp.export.tflite import export_tflite
from tests.export.test_tflite import applied, two_inputs
from tests.helpers.both_keras import skipped_where_keras_refuses
from tests.zoo.models import random_model

pytestmark = pytest.mark.usefixtures("warm_quantizer")


def dense(keras):
    return keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def two_ranges(count=40):
    """Samples for `two_inputs` whose ranges tell which input is which."""
    return [normal(count, 12, 10, 3), 50 + 10 * normal(count, 5, seed=1)]


@pytest.fixture
def no_conversion(monkeypatch):
    monkeypatch.setattr(
        Converter, "convert", lambda *_: pytest.fail("the conversion must not start")
    )


# --- what the files compute ---


def test_each_of_several_inputs_gets_the_ranges_of_its_own_samples(keras, tmp_path):
    model, samples = two_inputs(keras), two_ranges()
    data = [{"aux": samples[1], "zoom": samples[0]}]
    report = export_tflite(
        model, tmp_path / "m.tflite", "int8", representative_data=data, input_type="uint8"
    )
    assert [tensor.name for tensor in report.inputs] == ["zoom", "aux"]
    for tensor, array in zip(report.inputs, samples, strict=True):
        low, high = (tensor.scale * (value - tensor.zero_point) for value in (0, 255))
        assert low <= array.min() + tensor.scale and high >= array.max() - tensor.scale
        assert high - low <= 1.01 * (max(array.max(), 0) - min(array.min(), 0)) + 2 * tensor.scale
    for row in parity(model, tmp_path / "m.tflite", data):
        assert row.mean_difference < 0.02 * row.largest, row


@pytest.mark.parametrize(
    ("quantization", "types"),
    [("int8", ("float32", "int8")), ("int16x8", ("int16", "float32"))],
)
def test_inputs_and_outputs_have_the_type_that_was_asked_for(keras, tmp_path, quantization, types):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3, activation="relu")])
    x = normal(20, 8, 8, 3)
    report = export_tflite(
        model,
        tmp_path / "m.tflite",
        quantization,
        representative_data=x,
        input_type=types[0],
        output_type=types[1],
    )
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == types
    for tensor in (report.inputs[0], report.outputs[0]):
        assert (tensor.scale is None) == (tensor.dtype == "float32")
    (row,) = parity(model, tmp_path / "m.tflite", x)
    assert row.max_difference < 0.03 * row.largest


def test_float16_halves_the_weights_and_keeps_three_digits(keras, tmp_path):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64), keras.layers.Dense(64)])
    full = export_tflite(model, tmp_path / "full.tflite")
    half = export_tflite(model, tmp_path / "half.tflite", "float16")
    assert half.bytes < 0.6 * full.bytes
    assert half.inputs == full.inputs and half.outputs == full.outputs
    (row,) = parity(model, tmp_path / "half.tflite", normal(20, 64))
    assert 0 < row.max_difference < 2e-3 * row.largest


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("seed", range(20))
def test_a_random_graph_is_close_or_refused_in_one_sentence(tmp_path, seed, quantization):
    model, x = random_model(seed), normal(64, 8, 8, 3)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            export_tflite(model, tmp_path / "m.tflite", quantization, representative_data=x)
        except ValueError as error:
            assert "`quantization` must be" in str(error) and str(error).count("\n") == 0
            assert not any(tmp_path.iterdir())
            return
    if any("export_tflite: the output" in str(warning.message) for warning in warned):
        return
    for row in parity(model, tmp_path / "m.tflite", x):
        assert row.mean_difference < 0.25 * row.largest, f"seed {seed}: {row}"


# --- representative data ---


@pytest.mark.parametrize("batch_size", [1, 4])
def test_samples_are_cut_into_batches_of_the_file_and_the_last_is_filled_up(keras, batch_size):
    x = np.arange(30, dtype="float32").reshape(10, 3)
    specs = [tf.TensorSpec((batch_size, 3), tf.float32, name="x")]
    found = calibration_batches(dense(keras), specs, [x[:7], x[7:]])
    rows = np.concatenate([batch["x"] for batch in found])
    assert {batch["x"].shape for batch in found} == {(batch_size, 3)}
    np.testing.assert_array_equal(np.unique(rows, axis=0), x)
    assert len(found) == {1: 10, 4: 3}[batch_size]


def test_data_without_an_end_is_read_until_there_is_enough(keras):
    endless = tf.data.Dataset.from_tensor_slices(normal(10, 3)).batch(5).repeat()
    specs = [tf.TensorSpec((2, 3), tf.float32, name="x")]
    assert len(calibration_batches(dense(keras), specs, endless)) == CALIBRATION // 2


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (None, ValueError, "must be given for quantization 'int8' but is None: .*"),
        ("x.npy", TypeError, "must be a tf.data.Dataset .* but is 'x.npy'"),
        (np.zeros((0, 3)), ValueError, "must hold at least one batch but is empty"),
        ([np.zeros((0, 3))], ValueError, "must hold at least one sample but holds none"),
        (np.full((4, 3), np.nan), ValueError, "must be finite but holds NaN .* input 'x'"),
        (
            [np.zeros(3)],
            ValueError,
            r"must yield batches of shape \(samples, 3\) .* 'x' but yields \(3,\)",
        ),
        ([np.array(["a"])], ValueError, "must hold float32 for the input 'x' but holds <U1"),
        (
            [{"y": np.zeros((4, 3))}],
            ValueError,
            r"must hold every input of the model \(x\) but lacks x",
        ),
    ],
)
def test_data_that_is_of_no_use_is_refused(keras, tmp_path, no_conversion, data, error, message):
    with pytest.raises(error, match=rf"^`representative_data` {message}\.$"):
        export_tflite(dense(keras), tmp_path / "m.tflite", "int8", representative_data=data)
    assert not any(tmp_path.iterdir())


def test_arrays_of_several_inputs_that_are_no_batch_are_refused(keras, tmp_path, no_conversion):
    with pytest.raises(ValueError, match=r"must yield 2 arrays for the inputs zoom, aux, .* 1"):
        export_tflite(
            two_inputs(keras), tmp_path / "m.tflite", "int8", representative_data=two_ranges()
        )


# --- options ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_type": "int8"}, "`input_type` must be one of 'float32' with .* 'none'"),
        ({"quantization": "int8", "output_type": "int16"}, "`output_type` .* but is 'int16'"),
        ({"quantization": "int16x8", "input_type": "int8"}, "'float32', 'int16' with .* 'int8'"),
        ({"quantization": "float16", "representative_data": 1}, "must be None with .* 'float16'"),
        ({"quantization": ["int8"]}, "`quantization` must be one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(keras, tmp_path, no_conversion, options, message):
    with pytest.raises(ValueError, match=message):
        export_tflite(dense(keras), tmp_path / "m.tflite", **options)


@pytest.mark.parametrize("side", ["input_type", "output_type"])
def test_a_tensor_of_integers_cannot_become_another_kind_of_integer(
    keras, tmp_path, no_conversion, side
):
    x = keras.Input((7,), dtype="int32", name="words")
    with skipped_where_keras_refuses("not connected"):
        model = keras.Model(x, x if side == "output_type" else keras.layers.Embedding(10, 4)(x))
    data = np.zeros((4, 7), "int32")
    with pytest.raises(ValueError, match=rf"`{side}` must be 'float32', .* int32 but is 'int8'"):
        export_tflite(
            model, tmp_path / "m.tflite", "int8", representative_data=data, **{side: "int8"}
        )


# --- what TensorFlow cannot do ---


def test_operations_without_integer_kernels_are_named_and_the_previous_file_stays(keras, tmp_path):
    (tmp_path / "m.tflite").write_text("old")
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.PReLU()]
    )
    with pytest.raises(ValueError, match="'int16x8' has none for PRELU: use another one"):
        export_tflite(
            model, tmp_path / "m.tflite", "int16x8", representative_data=normal(4, 8, 8, 3)
        )
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_an_operation_that_the_converter_leaves_in_float_is_named(keras, tmp_path):
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, applied(keras, tf.square, keras.layers.Conv2D(4, 3)(x)))
    with pytest.raises(ValueError, match="'int8' has none for SQUARE"):
        export_tflite(model, tmp_path / "m.tflite", "int8", representative_data=normal(4, 4, 4, 3))


@pytest.mark.parametrize(
    ("layer", "quantization", "message"),
    [
        (
            lambda keras: keras.layers.GRU(4),
            "int8",
            "signal .* such as a GRU's without unroll=True",
        ),
        (
            lambda keras: keras.layers.LayerNormalization(),
            "int16x8",
            r"kernels can run but .* fails on zeros|has none for NEG",  # of Keras 3's, at once
        ),
    ],
    ids=["loop", "kernel"],
)
def test_what_ends_the_process_of_the_quantizer_is_an_error_here(
    keras, tmp_path, layer, quantization, message
):
    model = keras.Sequential([keras.Input((7, 3)), keras.layers.Conv1D(6, 3), layer(keras)])
    with pytest.raises(ValueError, match=message) as error:
        export_tflite(
            model, tmp_path / "m.tflite", quantization, representative_data=normal(8, 7, 3)
        )
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_activations_that_overflow_are_refused(keras, tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, applied(keras, tf.exp, keras.layers.Dense(4)(x)))
    with pytest.raises(ValueError, match=r"`representative_data` must keep all numbers .* finite"):
        export_tflite(
            model, tmp_path / "m.tflite", "int16x8", representative_data=1000 * normal(8, 3)
        )


def test_outputs_far_from_the_models_are_warned_of(keras, tmp_path, monkeypatch):
    model, convert = dense(keras), Converter.convert
    other = keras.models.clone_model(model)
    other.set_weights([-weight for weight in model.get_weights()])

    def of_another_model(self, *_):
        converter = Converter(other, self.specs, self.output_names)
        converter.trace(pack=False)
        return convert(converter, "none", [], {}, {})

    monkeypatch.setattr(Converter, "convert", of_another_model)
    with pytest.warns(UserWarning, match=r"export_tflite: the output .* differs by .* on average"):
        export_tflite(model, tmp_path / "m.tflite", "int8", representative_data=normal(8, 3))


# --- recurrent layers ---


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_an_lstm_keeps_its_state_and_says_so(tmp_path, quantization):
    model = tf_keras.Sequential([tf_keras.Input((7, 3)), tf_keras.layers.LSTM(4)])
    x = normal(64, 7, 3)
    data = x if quantization == "int8" else None
    with pytest.warns(UserWarning, match=r"keeps the state .* reset_all_variables\(\)"):
        report = export_tflite(model, tmp_path / "m.tflite", quantization, representative_data=data)
    assert report.keeps_state and json.loads(json.dumps(report.to_dict()))["keeps_state"]
    # The claim itself: without the call, a sequence's outputs depend on the one before.
    interpreter = Interpreter(model_path=str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    given, got = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for reset in (True, False, True):
        if reset:
            interpreter.reset_all_variables()
        interpreter.set_tensor(given["index"], x[:1])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(got["index"]))
    assert np.array_equal(outputs[0], outputs[2]) and not np.array_equal(outputs[0], outputs[1])
    (row,) = parity(model, tmp_path / "m.tflite", x)
    assert row.max_difference < (1e-5 if quantization == "none" else 0.1) * row.largest


def test_an_lstm_of_keras_3_is_a_loop_that_begins_anew(tmp_path, recwarn):
    model = keras3.Sequential([keras3.Input((7, 3)), keras3.layers.LSTM(4)])
    x = normal(64, 7, 3)
    for quantization, exact in (("none", 1e-5), ("float16", 1e-2), ("dynamic", 1e-1)):
        assert not export_tflite(model, tmp_path / "m.tflite", quantization).keeps_state
        (row,) = parity(model, tmp_path / "m.tflite", x)
        assert row.max_difference < exact * row.largest
    assert not [warning for warning in recwarn if "export_tflite" in str(warning.message)]
    with pytest.raises(ValueError, match="use 'dynamic' if the model has loops"):
        export_tflite(model, tmp_path / "m.tflite", "int8", representative_data=x)


def test_tables_of_embeddings_become_integers_and_their_input_stays(keras, tmp_path):
    model = keras.Sequential(
        [keras.Input((7,), dtype="int32"), keras.layers.Embedding(10, 4), keras.layers.Dense(3)]
    )
    words = np.random.default_rng(0).integers(0, 10, (40, 7))
    report = export_tflite(
        model, tmp_path / "m.tflite", "int8", representative_data=words, output_type="int8"
    )
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == ("int32", "int8")
    (row,) = parity(model, tmp_path / "m.tflite", words)
    assert row.max_difference < 0.05 * row.largest


def test_a_model_without_state_is_not_said_to_keep_any(keras, tmp_path, recwarn):
    assert not export_tflite(dense(keras), tmp_path / "m.tflite").keeps_state
    assert not [warning for warning in recwarn if "export_tflite" in str(warning.message)]
