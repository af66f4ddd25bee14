import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

import keras_spp.export.tflite
from keras_spp.export.converter import Converter
from keras_spp.export.tflite import export_tflite


def applied(keras, function, x):
    """A function of TensorFlow in a model: tf_keras takes it as it is, Keras 3 in a Lambda."""
    return function(x) if keras is tf_keras else keras.layers.Lambda(function)(x)


def two_inputs(keras):
    """A small network whose names sort otherwise than its inputs and outputs do."""
    image, side = keras.Input((12, 10, 3), name="zoom"), keras.Input((5,), name="aux")
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = keras.layers.BatchNormalization(gamma_initializer="uniform", beta_initializer="uniform")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.DepthwiseConv2D(3, strides=2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x, keras.layers.Dense(6, activation="tanh")(side)])
    classes = keras.layers.Dense(4, activation="softmax", name="y_class")(x)
    return keras.Model([image, side], [classes, keras.layers.Dense(2, name="b_box")(x), x])


def random_inputs(model, batch=1, seed=0):
    generator = np.random.default_rng(seed)
    return [
        generator.standard_normal((batch, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


def run(path, arrays):
    """Outputs of a file, by position."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def run_by_name(path, arrays):
    """Outputs of a file by name, from inputs by name."""
    return Interpreter(model_path=str(path)).get_signature_runner()(**arrays)


def assert_close(actual, expected, relative=1e-5):
    for a, e in zip(actual, tf.nest.flatten(expected), strict=True):
        e = np.asarray(e)
        assert a.shape == e.shape
        assert np.max(np.abs(a - e)) <= relative * np.max(np.abs(e))


# --- what the file computes ---


@pytest.mark.parametrize("batch", [1, 3])
def test_a_float32_file_gives_the_outputs_of_the_model_in_the_order_of_the_model(
    keras, tmp_path, batch
):
    model = two_inputs(keras)
    arrays = random_inputs(model, batch)
    report = export_tflite(model, tmp_path / "m.tflite", batch_size=batch)
    assert_close(run(tmp_path / "m.tflite", arrays), model(arrays, training=False))
    assert [tensor.name for tensor in report.inputs] == ["zoom", "aux"]
    assert [tensor.name for tensor in report.outputs] == ["y_class", "b_box", "concatenate"]
    assert [tensor.shape for tensor in report.outputs] == [(batch, 4), (batch, 2), (batch, 14)]
    assert {tensor.dtype for tensor in report.inputs + report.outputs} == {"float32"}


def test_by_name_and_by_position_agree(keras, tmp_path):
    model = two_inputs(keras)
    arrays = random_inputs(model)
    export_tflite(model, tmp_path / "m.tflite")
    named = run_by_name(tmp_path / "m.tflite", dict(zip(["zoom", "aux"], arrays, strict=True)))
    assert_close(
        [named[name] for name in ("y_class", "b_box", "concatenate")],
        run(tmp_path / "m.tflite", arrays),
        relative=0,
    )


def test_a_sequential_model_that_was_built_by_a_call_is_exported(keras, tmp_path):
    model = keras.Sequential(
        [keras.layers.Conv1D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.build((None, 9, 2))
    arrays = random_inputs(model)
    export_tflite(model, tmp_path / "m.tflite")
    assert_close(run(tmp_path / "m.tflite", arrays), model(arrays[0], training=False))


def test_keys_of_dict_inputs_and_outputs_are_the_names_in_the_file(keras, tmp_path):
    a, b = keras.Input((3,), name="first"), keras.Input((4,), name="second")
    total = keras.layers.Dense(2)(a) + keras.layers.Dense(2)(b)
    model = keras.Model({"q": a, "p": b}, {"twice": 2.0 * total, "once": total})
    arrays = {
        "q": np.random.default_rng(0).standard_normal((1, 3)).astype(np.float32),
        "p": np.random.default_rng(1).standard_normal((1, 4)).astype(np.float32),
    }
    report = export_tflite(model, tmp_path / "m.tflite")
    expected = model(arrays, training=False)
    actual = run_by_name(tmp_path / "m.tflite", arrays)
    assert sorted(actual) == ["once", "twice"] == [tensor.name for tensor in report.outputs]
    assert_close([actual["once"], actual["twice"]], [expected["once"], expected["twice"]])


def test_names_that_a_signature_cannot_carry_are_rewritten_and_stay_apart(keras, tmp_path):
    a, b = keras.Input((3,), name="side info"), keras.Input((4,), name="side_info")
    c = keras.Input((2,), name="3rd")
    name = "all/of-them" if keras is tf_keras else "all.of-them"  # Keras 3 allows no slash
    model = keras.Model([b, a, c], keras.layers.Concatenate(name=name)([b, a, c]))
    report = export_tflite(model, tmp_path / "m.tflite")
    assert [tensor.name for tensor in report.inputs] == ["side_info", "side_info_", "arg_3rd"]
    assert [tensor.name for tensor in report.outputs] == ["all_of_them"]
    arrays = random_inputs(model)
    assert_close(run(tmp_path / "m.tflite", arrays), model(arrays))


def test_one_tensor_given_out_twice_and_an_input_given_out_are_exported(keras, tmp_path):
    x = keras.Input((3,))
    y = keras.layers.Dense(2)(x)
    model = keras.Model(x, [y, x, y])
    arrays = random_inputs(model)
    export_tflite(model, tmp_path / "m.tflite")
    assert_close(run(tmp_path / "m.tflite", arrays), model(arrays[0]))


def test_layers_run_as_in_inference_and_the_model_stays_as_it_was(keras, tmp_path):
    model = keras.Sequential(
        [
            keras.layers.Dropout(0.5, input_shape=(50,)),
            keras.layers.GaussianNoise(1.0),
            keras.layers.Dense(3),
        ]
    )
    before = model.get_weights()
    arrays = random_inputs(model)
    export_tflite(model, tmp_path / "m.tflite")
    assert_close(run(tmp_path / "m.tflite", arrays), model(arrays[0], training=False))
    assert_close(model.get_weights(), before, relative=0)


def test_integer_inputs_and_recurrent_layers_are_exported(keras, tmp_path):
    model = keras.Sequential(
        [keras.Input((7,), dtype="int32"), keras.layers.Embedding(10, 4), keras.layers.LSTM(3)]
    )
    tokens = np.random.default_rng(0).integers(0, 10, (1, 7), np.int32)
    report = export_tflite(model, tmp_path / "m.tflite")
    assert report.inputs[0].dtype == "int32"
    assert_close(run(tmp_path / "m.tflite", [tokens]), model(tokens))


def test_dynamic_range_weights_are_smaller_and_close(keras, tmp_path):
    model = keras.Sequential([keras.layers.Dense(64, input_shape=(64,)), keras.layers.Dense(64)])
    arrays = random_inputs(model)
    full = export_tflite(model, tmp_path / "full.tflite")
    small = export_tflite(model, tmp_path / "small.tflite", "dynamic")
    assert small.bytes < 0.5 * full.bytes
    assert small.quantization == "dynamic"
    assert small.inputs[0].dtype == small.outputs[0].dtype == "float32"
    assert_close(run(tmp_path / "small.tflite", arrays), model(arrays[0]), relative=0.05)


# --- open sizes ---


def test_open_sizes_are_filled_by_input_shape(keras, tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(image)))
    report = export_tflite(model, tmp_path / "m.tflite", input_shape=(9, 8, 3))
    assert report.inputs[0].shape == (1, 9, 8, 3)
    array = np.random.default_rng(0).standard_normal((1, 9, 8, 3)).astype(np.float32)
    assert_close(run(tmp_path / "m.tflite", [array]), model(array))


def test_open_sizes_of_one_of_several_inputs_are_filled_by_name(keras, tmp_path):
    a, b = keras.Input((None, 3), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [keras.layers.Conv1D(2, 1)(a), keras.layers.Dense(2)(b)])
    report = export_tflite(model, tmp_path / "m.tflite", input_shape={"a": (6, 3)})
    assert [tensor.shape for tensor in report.inputs] == [(1, 6, 3), (1, 4)]


def test_a_fixed_batch_that_no_layer_relies_on_can_be_another_one(keras, tmp_path):
    x = keras.Input(batch_shape=(8, 6))
    model = keras.Model(x, keras.layers.Dense(3)(x))
    arrays = [np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)]
    export_tflite(model, tmp_path / "m.tflite")
    assert_close(run(tmp_path / "m.tflite", [arrays[0][:1]]), model(arrays[0])[:1])


def stateful(keras):
    return keras.Sequential(
        [keras.Input(batch_shape=(8, 5, 3)), keras.layers.GRU(4, stateful=True)]
    )


def reshaped(keras):
    x = keras.Input(batch_shape=(8, 6))
    return keras.Model(
        x, applied(keras, lambda y: tf.reshape(y, [8, -1]), keras.layers.Dense(4)(x))
    )


@pytest.mark.parametrize("make", [stateful, reshaped])
def test_a_fixed_batch_that_layers_rely_on_is_named(keras, tmp_path, make):
    with pytest.raises(ValueError, match=r"`batch_size` must be 8, which .* but is 1: give that"):
        export_tflite(make(keras), tmp_path / "m.tflite")
    assert not any(tmp_path.iterdir())


# --- the report ---


def test_the_report_prints_and_converts_to_json(keras, tmp_path):
    report = export_tflite(two_inputs(keras), tmp_path / "m.tflite")
    assert report.bytes == (tmp_path / "m.tflite").stat().st_size
    assert report.path == tmp_path / "m.tflite"
    assert f"{report.bytes:,} bytes" in str(report)
    assert "output y_class (1, 4) float32" in str(report)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["path"] == str(tmp_path / "m.tflite")
    assert data["inputs"][0] == {
        "name": "zoom",
        "shape": [1, 12, 10, 3],
        "dtype": "float32",
        "scale": None,
        "zero_point": None,
    }


def test_paths_with_spaces_and_unicode_work_as_strings(keras, tmp_path):
    path = str(tmp_path / "mein größtes Modell.tflite")
    report = export_tflite(keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]), path)
    assert report.to_dict()["path"] == path
    assert run(path, [np.zeros((1, 3), np.float32)])[0].shape == (1, 2)


# --- bad input ---


def dense(keras):
    return keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])


@pytest.fixture
def no_conversion(monkeypatch):
    """Fails the test if the slow part starts."""
    monkeypatch.setattr(
        Converter, "convert", lambda *_: pytest.fail("the conversion must not start")
    )


def test_an_unknown_quantization_is_refused_with_the_choices(keras, tmp_path, no_conversion):
    with pytest.raises(
        ValueError, match=r"`quantization` .* 'dynamic', 'int8', 'int16x8' but is 'int4'\."
    ):
        export_tflite(dense(keras), tmp_path / "m.tflite", "int4")


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, None])
def test_a_batch_size_that_is_not_a_positive_whole_number_is_refused(
    keras, tmp_path, batch_size, no_conversion
):
    with pytest.raises(ValueError, match=rf"`batch_size` .* at least 1 but is {batch_size}\."):
        export_tflite(dense(keras), tmp_path / "m.tflite", batch_size=batch_size)


@pytest.mark.parametrize("model", [None, "model.keras", tf_keras.layers.Dense(2), lambda x: x])
def test_what_is_not_a_model_is_refused(tmp_path, model, no_conversion):
    with pytest.raises(TypeError, match=r"`model` must be a (tf_k|K)eras model"):
        export_tflite(model, tmp_path / "m.tflite")


def test_a_model_without_known_inputs_is_refused(keras, tmp_path, no_conversion):
    with pytest.raises(ValueError, match=r"`model` .* without a known input shape"):
        export_tflite(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "m.tflite")


def test_open_sizes_without_input_shape_are_refused(keras, tmp_path, no_conversion):
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    with pytest.raises(
        ValueError, match=r"`input_shape` is needed .*'image'.*\(None, None, 3\).*\(32, 32, 3\)\."
    ):
        export_tflite(model, tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((12, 10, 3), r"must be a dict .* the inputs zoom, aux but is \(12, 10, 3\)\."),
        ({"zoo": (12, 10, 3)}, r"must name inputs of the model \(zoom, aux\) but names zoo\."),
        ({"zoom": (12, 11, 3)}, r"must fit the input 'zoom', \(12, 10, 3\) .* \(12, 11, 3\)\."),
        ({"zoom": (12, 10)}, r"must fit the input 'zoom', \(12, 10, 3\) .* \(12, 10\)\."),
    ],
)
def test_an_input_shape_that_does_not_fit_is_refused(
    keras, tmp_path, shape, message, no_conversion
):
    with pytest.raises(ValueError, match=f"`input_shape` {message}"):
        export_tflite(two_inputs(keras), tmp_path / "m.tflite", input_shape=shape)


def test_operations_without_a_kernel_are_named_and_the_previous_file_stays(keras, tmp_path, capfd):
    (tmp_path / "m.tflite").write_text("old")
    x = keras.Input((3,))
    model = keras.Model(x, applied(keras, tf.math.erfinv, keras.layers.Dense(2)(x)))
    with pytest.raises(
        ValueError, match=r"`model` .* no kernel, Erfinv: replace them.*\."
    ) as error:
        export_tflite(model, tmp_path / "m.tflite")
    assert "\n" not in str(error.value)
    assert (tmp_path / "m.tflite").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]


def test_a_model_that_computes_in_float16_is_refused(keras, tmp_path):
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,), dtype="mixed_float16")])
    with pytest.raises(ValueError, match=r"`model` must compute in float32 but .* float16"):
        export_tflite(model, tmp_path / "m.tflite")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("missing/m.tflite", FileNotFoundError),
        ("file/m.tflite", NotADirectoryError),
        ("", IsADirectoryError),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_the_conversion(
    keras, tmp_path, path, error, no_conversion
):
    (tmp_path / "file").write_text("x")
    with pytest.raises(error, match="`path`"):
        export_tflite(dense(keras), tmp_path / path)


def test_a_failed_write_keeps_the_previous_file(keras, tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras_spp.export.tflite.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        export_tflite(dense(keras), tmp_path / "m.tflite")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]
