import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import keras_spp as spp
from keras_spp.analysis.provenance import pruned_from
from keras_spp.export.metadata import read_metadata, with_metadata
from tests.helpers.training import prune
from tests.zoo.models import L, random_probabilities, randomize


def net():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, name="first")(x)))
    y = L.Conv2D(16, 3, name="second", activation="relu")(y)
    return randomize(keras.Model(x, L.Dense(4, name="head")(L.Flatten()(y)), name="net"))


@pytest.fixture(scope="module")
def pair():
    """A model and what pruning leaves of it."""
    dense = net()
    pruned = prune(dense, goal={"first": 0.5, "second": 0.25})
    random_probabilities(pruned, settled=True)
    return dense, spp.shrink(pruned)


def counted(dense, small):
    """What the file should say, from the models' own weights."""
    totals = {
        key: [getattr(spp.analyze(model), key) for model in (dense, small)]
        for key in ("macs", "params")
    }
    widths = {
        name: [model.get_layer(name).kernel.shape[-1] for model in (dense, small)]
        for name in ("first", "second")
    }
    macs = totals["macs"]
    return {"speedup": round(macs[0] / macs[1], 4), **totals, "layers": widths}


def test_a_shrunk_model_says_what_was_pruned(pair, tmp_path):
    dense, small = pair
    report = spp.export_tflite(small, tmp_path / "m.tflite", "dynamic")
    expected = {
        "keras_spp": spp.__version__,
        "model": "net",
        "quantization": "dynamic",
        "pruned": counted(dense, small),
        "columns": {},
    }
    assert read_metadata(tmp_path / "m.tflite") == expected == report.metadata
    assert expected["pruned"]["layers"]["first"] == [16, 8] and expected["pruned"]["speedup"] > 1
    assert f"{expected['pruned']['speedup']:.2f}x fewer MACs" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["metadata"] == expected


@pytest.mark.parametrize("name", ["small.keras", "small.h5", "small"])
def test_after_saving_the_original_model_says_it(pair, tmp_path, name):
    dense, small = pair
    small.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name, compile=False)
    spp.export_tflite(loaded, tmp_path / "m.tflite")
    assert read_metadata(tmp_path / "m.tflite")["pruned"] is None
    spp.export_tflite(loaded, tmp_path / "m.tflite", original=dense)
    assert read_metadata(tmp_path / "m.tflite")["pruned"] == counted(dense, small)


def test_a_model_that_was_never_pruned_says_nothing(tmp_path):
    assert pruned_from(net(), None) is None
    same = pruned_from(net(), net())
    assert same["speedup"] == 1 and same["layers"] == {}


def test_no_speedup_is_claimed_where_sizes_are_open():
    def model(filters):
        return keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(filters, 3, name="c")])

    pruned = pruned_from(model(4), model(8))
    assert pruned["speedup"] is None and pruned["macs"] == [None, None]
    assert pruned["layers"] == {"c": [8, 4]}


def test_what_a_model_remembers_is_no_part_of_it(pair):
    _, small = pair
    plain = keras.models.clone_model(small)
    assert small.get_config() == plain.get_config()
    assert [v.name for v in small.variables] == [v.name for v in plain.variables]
    assert len(tf.train.Checkpoint(small)._trackable_children()) == len(
        tf.train.Checkpoint(plain)._trackable_children()
    )


def test_the_file_computes_the_same_bits_with_metadata(pair):
    _, small = pair
    buffer = tf.lite.TFLiteConverter.from_keras_model(small).convert()
    described = with_metadata(buffer, {"a": 1})
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    outputs = []
    for content in (buffer, bytes(described)):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(*outputs)


def test_buffers_are_aligned_as_the_schema_demands_and_other_entries_stay(pair, tmp_path):
    spp.export_tflite(pair[1], tmp_path / "m.tflite")
    content = np.fromfile(tmp_path / "m.tflite", np.uint8)
    file = schema.Model.GetRootAs(content.tobytes(), 0)
    base = np.frombuffer(file._tab.Bytes, np.uint8).ctypes.data
    buffers = [file.Buffers(index) for index in range(file.BuffersLength())]
    places = [b.DataAsNumpy().ctypes.data - base for b in buffers if b.DataLength()]
    assert len(places) > 4 and all(place % 16 == 0 for place in places)
    names = [file.Metadata(index).Name() for index in range(file.MetadataLength())]
    assert names.count(b"keras_spp") == 1 and b"min_runtime_version" in names


# --- reading ---


def test_a_file_is_read_without_a_framework(pair, tmp_path):
    path = tmp_path / "m.tflite"
    expected = spp.export_tflite(pair[1], path).metadata
    code = (
        "import sys, json, keras_spp\n"
        f"print(json.dumps(keras_spp.read_metadata({str(path)!r})))\n"
        "assert not {'tensorflow', 'tf_keras', 'keras', 'torch', 'jax'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == expected


def test_a_file_of_another_program_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    (tmp_path / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ValueError, match=r"`path` .* that spp.export_tflite has written"):
        read_metadata(tmp_path / "m.tflite")


@pytest.mark.parametrize("content", [[1], "text", 3, None])
def test_metadata_of_another_form_is_refused(tmp_path, content):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    plain = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "m.tflite").write_bytes(with_metadata(plain, content))
    with pytest.raises(ValueError, match="is damaged"):
        read_metadata(tmp_path / "m.tflite")


@pytest.mark.parametrize("size", [3, 20, 300, 0.5])
def test_a_damaged_file_is_refused(pair, tmp_path, size):
    path = tmp_path / "m.tflite"
    spp.export_tflite(pair[1], path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(size * len(whole)) if size < 1 else size])
    with pytest.raises(ValueError, match=r"`path` must be a (whole )?TFLite file"):
        read_metadata(path)


@pytest.mark.parametrize(
    ("path", "error"), [("none.tflite", FileNotFoundError), ("", OSError), (3, TypeError)]
)
def test_what_is_no_file_is_refused(tmp_path, path, error):
    with pytest.raises(error, match="`path` must"):
        read_metadata(path if path == 3 else tmp_path / path)
