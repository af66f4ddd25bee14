"""What is written only to be timed does what an exported file does, operation by operation."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import keras_spp as spp
from keras_spp.export import converter
from keras_spp.export.tflite import export_to_time
from tests.helpers.slow import slow_but
from tests.zoo import keras3_models, models


def operations(path):
    """The kind of each operation and the shape of its output, in the file's order."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    return [
        (file.operatorCodes[operator.opcodeIndex].builtinCode, list(graph.tensors[place].shape))
        for graph in file.subgraphs
        for operator in graph.operators
        for place in operator.outputs
    ]


def answers(path, x):
    """All outputs, in an order that does not depend on the file's."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    return sorted(outputs, key=lambda output: (output.shape, output.ravel().tolist()))


def assert_alike(model, folder):
    spp.export_tflite(model, folder / "named.tflite", pack=False)
    export_to_time(model, folder / "timed.tflite")
    named, timed = operations(folder / "named.tflite"), operations(folder / "timed.tflite")
    assert named == timed
    x = np.random.default_rng(0).normal(size=(1, *model.inputs[0].shape[1:])).astype("float32")
    for one, other in zip(
        answers(folder / "named.tflite", x), answers(folder / "timed.tflite", x), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", slow_but(range(6), range(3)))
def test_convolutional_networks(seed, tmp_path):
    assert_alike(models.random_model(seed), tmp_path)


@pytest.mark.parametrize("step", ["depthwise", "nested", "normalised", "shared", "split", "turned"])
def test_networks_of_keras_3(step, tmp_path):
    assert_alike(keras3_models.step_model(step), tmp_path)


def attention(keras, x):
    return keras.layers.LayerNormalization()(keras.layers.MultiHeadAttention(2, 4)(x, x))


@pytest.mark.filterwarnings("ignore:export_tflite. the file keeps the state")
@pytest.mark.parametrize(
    "layer",
    [
        lambda keras, x: keras.layers.LSTM(6)(x),
        lambda keras, x: keras.layers.GRU(6, return_sequences=True)(x),
        lambda keras, x: keras.layers.Bidirectional(keras.layers.LSTM(4))(x),
        attention,
    ],
    ids=["lstm", "gru", "bidirectional", "attention"],
)
def test_sequences(keras, layer, tmp_path):
    x = keras.Input((5, 4))
    zoo = models if keras is tf_keras else keras3_models
    model = keras.Model(x, keras.layers.Dense(3)(layer(keras, x)))
    assert_alike(zoo.randomize(model), tmp_path)


@pytest.mark.filterwarnings("ignore:export_tflite. the file keeps the state")
def test_a_file_is_converted_without_being_saved_first_unless_it_has_loops(
    keras, tmp_path, monkeypatch
):
    saved, convert = [], converter.convert
    monkeypatch.setattr(
        converter,
        "convert",
        lambda *args, named=True: saved.append(named) or convert(*args, named=named),
    )
    x = keras.Input((5, 4))
    for layer in (keras.layers.Conv1D(6, 3), keras.layers.LSTM(6)):
        export_to_time(keras.Model(x, layer(x)), tmp_path / "m.tflite")
    assert saved == [False, True]


def test_what_cannot_be_exported_is_refused_in_the_same_words(keras, tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.Conv1D(4, 3)])
    with pytest.raises(ValueError, match="`input_shape` is needed because the input"):
        export_to_time(model, tmp_path / "m.tflite")
    export_to_time(model, tmp_path / "m.tflite", (8, 3))
    x = keras.Input((4,))
    lacking = keras.layers.Lambda(lambda y: tf.raw_ops.Betainc(a=y, b=y, x=y))
    model = keras.Model(x, lacking(keras.layers.Dense(4)(x)))
    for write in (spp.export_tflite, export_to_time):
        with pytest.raises(ValueError, match="`model` uses operations for which TFLite has no"):
            write(model, tmp_path / "m.tflite")
