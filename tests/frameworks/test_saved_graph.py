"""The graph of a SavedModel computes; whatever else it holds is refused before it is loaded."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.saved_model.registration import registration
from tensorflow.python.trackable.resource import CapturableResource

from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.saved_graph import saved_model_configs
from keras_spp.frameworks.tf_keras.trust import Untrusted
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "saved"
    layers = [keras.Input((4, 3)), L.SimpleRNN(3), L.Dropout(0.5), L.BatchNormalization()]
    model = keras.Sequential([*layers, L.Dense(2)])
    model.compile("adam", "mse")
    model.save(path)
    return path


@pytest.fixture
def attempt(saved, tmp_path):
    """Checks a copy whose graph was changed; the error, or None."""

    def attempt(change):
        path = tmp_path / "changed"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(saved, path)
        content = SavedModel.FromString((path / "saved_model.pb").read_bytes())
        change(content.meta_graphs[0])
        (path / "saved_model.pb").write_bytes(content.SerializeToString())
        try:
            list(saved_model_configs(path))
        except Untrusted as error:
            return str(error)
        return None

    return attempt


def body(graph, part):
    """The nodes of a function whose name has this part."""
    functions = graph.graph_def.library.function
    return next(found.node_def for found in functions if part in found.signature.name)


@pytest.mark.parametrize(
    "operation",
    ["WriteFile", "ReadFile", "PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2", "Abort",
     "DebugIdentity", "DebugIdentityV3", "DecodeProtoV2", "TFRecordDataset", "CacheDataset",
     "SnapshotDatasetV2", "DatasetToTFRecord", "SaveDatasetV2", "RpcClient", "MatchingFiles",
     "InitializeTableFromTextFileV2", "WorkerHeartbeat", "XlaCallModule", "XlaCustomCallV2",
     "FileSystemSetConfiguration", "WriteScalarSummary", "DataServiceDatasetV4", "SqlDataset",
     "LMDBReader", "Send", "SleepOp", "RemoteCall", "NoSuchOperation"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["dense", "traced_save", "wrapped_model"])
def test_an_operation_that_reaches_beyond_the_model_is_refused_in_every_function(
    attempt, operation, part
):
    def change(graph):
        body(graph, part).add(op=operation, name="added")

    assert attempt(change) == f"its graph has the operation {operation!r}"


def test_what_saves_a_model_may_be_called_by_the_saver_alone(attempt):
    """A layer that calls it would write to any place when the model is called."""
    assert attempt(lambda graph: None) is None

    def call_it(graph):
        functions = graph.graph_def.library.function
        (saver,) = (f.signature.name for f in functions if "traced_save" in f.signature.name)
        node = body(graph, "inner").add(op="PartitionedCall", name="added")
        node.attr["f"].func.name = saver

    def save(graph):
        body(graph, "inner").add(op="SaveV2", name="added")

    def called(graph):
        """Adds a function that an object of the model can call."""
        added = graph.graph_def.library.function.add()
        added.signature.name = "inner"
        graph.object_graph_def.concrete_functions["inner"].SetInParent()

    def gradient(graph):
        """Adds one that runs when gradients are taken."""
        graph.graph_def.library.function.add().signature.name = "inner"
        graph.graph_def.library.gradient.add(function_name="f", gradient_func="inner")

    for reach in (called, gradient):
        for change in (call_it, save):
            found = attempt(lambda graph, reach=reach, change=change: (reach(graph), change(graph)))
            assert found == "its graph has the operation 'SaveV2'"


def test_a_function_of_the_graph_that_has_the_name_of_an_operation_does_not_hide_it(attempt):
    def change(graph):
        graph.graph_def.library.function.add().signature.name = "WriteFile"
        body(graph, "dense").add(op="WriteFile", name="added")

    assert attempt(change) == "its graph has the operation 'WriteFile'"


@pytest.mark.parametrize("name", ["_initialize", "_create_resource", "_destroy_resource"])
def test_what_runs_on_loading_is_refused_however_it_is_attached(attempt, name):
    def change(graph):
        graph.object_graph_def.nodes[0].children.add(node_id=1, local_name=name)

    assert "when it is loaded" in attempt(change)


def test_a_graph_of_tensorflow_1_and_a_table_under_a_registered_name_are_refused(attempt):
    def first_version(graph):
        graph.ClearField("object_graph_def")

    assert "TensorFlow 1" in attempt(first_version)
    registered = registration._class_registry._registered_map
    tables = [name for name, kind in registered.items() if issubclass(kind, CapturableResource)]
    assert tables
    for name in tables:

        def named(graph, name=name):
            graph.object_graph_def.nodes.add().registered_name = name

        assert "when it is loaded" in attempt(named), name


def test_a_text_file_beside_the_graph_is_not_taken_for_it(saved, tmp_path):
    """tf_keras reads the binary file first, and so does the check."""
    path = tmp_path / "both"
    shutil.copytree(saved, path)
    (path / "saved_model.pbtxt").write_text("nonsense")
    assert load_model(path).count_params() > 0
    content = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    body(content.meta_graphs[0], "dense").add(op="WriteFile", name="added")
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pbtxt").write_text(str(content))
    with pytest.raises(ValueError, match="WriteFile") as error:
        load_model(path)
    assert_one_sentence(error)


def test_random_numbers_loops_and_tables_of_constants_are_no_reason_to_refuse(tmp_path):
    x = keras.Input((6, 3))
    y = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.GaussianNoise(0.1)(x))
    y = L.ConvLSTM1D(2, 3)(tf.expand_dims(L.GRU(4, return_sequences=True)(y), -1))
    model = keras.Model(x, L.AlphaDropout(0.1)(tf.cumsum(tf.random.shuffle(y))))
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded(np.ones((2, 6, 3))).shape == model(np.ones((2, 6, 3))).shape


def test_the_folder_is_a_path_as_it_stands(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    assert load_model(Path(saved.name)).count_params() > 0
