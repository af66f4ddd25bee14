"""What a file unpacks to is counted before anything is unpacked."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_spp.frameworks.tf_keras import loading
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.unpacked import (
    ALWAYS,
    TIMES,
    TooLarge,
    bounded_variables,
    budget,
)
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L, randomize


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def net(units=4):
    return keras.Sequential([keras.Input((6,)), L.Dense(units)])


def rewritten(source, path, change=lambda name, content: content, compression=0):
    """Copies an archive with its members changed and compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def refused(path, monkeypatch):
    """Checks that a file is refused before tf_keras sees it, and without taking memory."""
    with monkeypatch.context() as patch:
        patch.setattr(
            loading.keras.models, "load_model", lambda *_, **__: pytest.fail("was loaded")
        )
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="would fill the memory") as error:
                load_model(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 2 * ALWAYS, peak
    message = assert_one_sentence(error)
    assert repr(path) in message and "allow_code=True" in message
    return message


def h5_of(arrays):
    with h5py.File(content := io.BytesIO(), "w") as file:
        arrays(file)
    return content.getvalue()


def never_written(file):
    file.create_dataset("a", (2**31,), "float32")


def of_equal_values(file):
    file.create_dataset("a", data=np.zeros(2**25, np.float32), compression="gzip")


def test_members_of_an_archive_that_unpack_to_too_much_are_refused(monkeypatch):
    net().save("good.keras")
    bomb = bytes(3 * ALWAYS)
    for member in ("model.weights.h5", "config.json", "assets/more", "metadata.json"):

        def change(name, content, member=member):
            return bomb if name == member else content

        rewritten("good.keras", "bad.keras", change, zipfile.ZIP_DEFLATED)
        if member == "assets/more":
            with zipfile.ZipFile("bad.keras", "a", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(member, bomb)
        assert "more than 67 MB and 100 times its size" in refused("bad.keras", monkeypatch)


@pytest.mark.parametrize("arrays", [never_written, of_equal_values])
def test_arrays_that_unpack_to_too_much_are_refused(arrays, monkeypatch):
    net().save("good.keras")
    content = h5_of(arrays)

    def change(name, old):
        return content if name == "model.weights.h5" else old

    rewritten("good.keras", "bad.keras", change)
    refused("bad.keras", monkeypatch)
    net().save("bad.h5")
    with h5py.File("bad.h5", "r+") as file:
        arrays(file)
    refused("bad.h5", monkeypatch)


def test_arrays_in_other_files_are_refused(monkeypatch):
    with h5py.File("other.h5", "w") as file:
        file["a"] = np.ones(4)

    def linked(file):
        file["link"] = h5py.ExternalLink("other.h5", "a")

    def external(file):
        file.create_dataset("b", (4,), "float32", external=[("other.h5", 0, 16)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "float64")
        layout[:] = h5py.VirtualSource("other.h5", "a", (4,))
        file.create_virtual_dataset("c", layout)

    for kind in (linked, external, virtual):
        net().save("bad.h5")
        with h5py.File("bad.h5", "r+") as file:
            kind(file)
        assert "arrays from other files" in refused("bad.h5", monkeypatch)


def test_a_configuration_of_many_small_parts_counts_as_what_python_makes_of_it(monkeypatch):
    net().save("good.keras")
    content = json.dumps([[]] * (ALWAYS // 24 // 4 + 10**4)).encode()

    def change(name, old):
        return content if name == "config.json" else old

    rewritten("good.keras", "bad.keras", change, zipfile.ZIP_DEFLATED)
    refused("bad.keras", monkeypatch)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"class_name": "Sequential", "config":'])
def test_a_deep_configuration_is_refused_with_a_sentence(opening):
    net().save("good.keras")
    content = opening.encode() * 20_000

    for closed in (content, content + b"1" + b"]" * 20_000, content + b"1" + b"}" * 20_000):

        def change(name, old, closed=closed):
            return closed if name == "config.json" else old

        rewritten("good.keras", "bad.keras", change)
        with pytest.raises(ValueError, match=r"'bad\.keras'") as error:
            load_model("bad.keras")
        assert_one_sentence(error)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_variables_that_no_file_of_this_size_can_hold_are_not_made(name):
    net(units=4).save(name)
    config = json.dumps(net(units=4).get_config())
    assert '"units": 4' in config
    if name == "m.keras":

        def change(member, content):
            return content.replace(b'"units": 4', b'"units": 40000000')

        rewritten(name, name := "large.keras", change)
    else:
        with h5py.File(name, "r+") as file:
            text = file.attrs["model_config"]
            file.attrs["model_config"] = text.replace('"units": 4', '"units": 40000000')
    with pytest.raises(ValueError, match=r"its variables take 960 MB, more than 67 MB") as error:
        load_model(name)
    assert_one_sentence(error)


def test_constants_of_a_graph_that_are_one_value_and_a_shape_are_counted(monkeypatch):
    net().save("m")
    content = SavedModel.FromString(Path("m/saved_model.pb").read_bytes())
    graph = content.meta_graphs[0].graph_def
    node = graph.library.function[0].node_def.add(op="Const", name="large")
    node.attr["value"].tensor.dtype = tf.float32.as_datatype_enum
    node.attr["value"].tensor.float_val.append(1.0)
    for size in (2**15, 2**15):
        node.attr["value"].tensor.tensor_shape.dim.add(size=size)
    Path("m/saved_model.pb").write_bytes(content.SerializeToString())
    refused("m", monkeypatch)


@pytest.mark.parametrize("share", [0.0, 0.75, 0.95])
def test_files_that_were_compressed_again_are_loaded_however_many_zeros_they_hold(share):
    """Of 18 MB, so that the size of the file decides and not what any file may unpack to."""
    model = randomize(keras.Sequential([keras.Input((1500,)), L.Dense(3000)]))
    kernel = model.layers[-1].kernel
    dead = np.random.default_rng(0).random(kernel.shape) < share
    kernel.assign(np.where(dead, 0, kernel))
    model.save("m.keras")
    rewritten("m.keras", "z.keras", compression=zipfile.ZIP_DEFLATED)
    model.save("m.h5")
    x = np.ones((1, 1500), np.float32)
    for name in ("m.keras", "z.keras", "m.h5"):
        np.testing.assert_array_equal(load_model(name)(x), model(x))


def test_the_bound_grows_with_the_file(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"a")
    with open(large, "wb") as file:
        file.truncate(2 * ALWAYS)
    assert budget(small) == ALWAYS and budget(large) == 2 * TIMES * ALWAYS
    assert budget(tmp_path) == TIMES * (2 * ALWAYS + 1)


def test_variables_are_bounded_where_they_are_loaded_and_nowhere_else():
    with bounded_variables(100):
        tf.Variable(tf.zeros(25))
        with pytest.raises(TooLarge, match="its variables take"):
            tf.Variable(tf.zeros(1))
    tf.Variable(tf.zeros(26))


def test_with_permission_a_file_may_take_any_memory(monkeypatch):
    monkeypatch.setattr("keras_spp.frameworks.tf_keras.unpacked.ALWAYS", 1)
    monkeypatch.setattr("keras_spp.frameworks.tf_keras.unpacked.TIMES", 0)
    net().save("m.keras")
    with pytest.raises(ValueError, match="fill the memory"):
        load_model("m.keras")
    assert load_model("m.keras", allow_code=True).count_params() == 28
