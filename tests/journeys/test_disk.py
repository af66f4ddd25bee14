"""A full disk, a folder that cannot be written, names in any language: for all that is written."""

import contextlib
import resource
import subprocess
import tempfile
import warnings

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import keras_spp as spp
from keras_spp.cli import main
from keras_spp.util.files import atomic_path
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L, random_probabilities, randomize

ROOM = 32 * 1024


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model, the same pruned, and both in files; each is larger than there is room."""
    model = randomize(keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(48, 3), L.Conv2D(48, 3), L.Flatten(), L.Dense(4)]
    ))  # fmt: skip
    pruned = spp.prune(model, pruning_ratio=0.3, round_to=1)
    random_probabilities(pruned, settled=True)
    folder = tmp_path_factory.mktemp("saved")
    pruned.save(folder / "pruned.keras")
    spp.export_tflite(model, folder / "m.tflite", pack=False)
    return model, folder


def run(*arguments):
    """The command, whose sentence is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exit_code:
        raise OSError(result.stderr.splitlines()[-1].removeprefix("Error: "))


def sensitivity(saved, path):
    images = np.ones((4, 8, 8, 3), np.float32)
    allocation = spp.Sensitivity(points=2, cache=path)
    spp.prune(saved[0], target_speedup=1.5, allocation=allocation, representative_data=images)


def latencies(saved, path):
    content = (saved[1] / "m.tflite").read_bytes()
    # Keys that fill the file beyond the room that there is.
    spp.Device(cache=path, runs=1).measure({f"{number}" + "x" * ROOM: content for number in (1, 2)})


WRITERS = {
    "out.tflite": lambda saved, path: spp.export_tflite(saved[0], path, pack=False),
    "again.tflite": lambda saved, path: run("export", "--no-pack", saved[1] / "pruned.keras", path),
    "small.keras": lambda saved, path: run("shrink", saved[1] / "pruned.keras", path),
    "small.h5": lambda saved, path: run("shrink", saved[1] / "pruned.keras", path),
    "latencies.json": latencies,
    "sensitivity.json": sensitivity,
}


@contextlib.contextmanager
def mounted(folder, options):
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def limited(size):
    """No file may grow beyond a size: no disk, but for everyone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(folder):
    """The files in a folder, but for the locks of caches."""
    return [entry for entry in folder.iterdir() if entry.suffix != ".lock"]


def fill(folder):
    """Takes the room that is left, but for what the earlier file has."""
    with contextlib.suppress(OSError), open(folder / "fill", "wb", buffering=0) as file:
        while True:
            file.write(bytes(512))


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_file(saved, tmp_path, name):
    path = tmp_path / "full" / name
    with mounted(path.parent, f"size={ROOM}"):
        earlier = {} if name == "latencies.json" else {name: "{}"}  # which has to fit the machine
        for each, text in earlier.items():
            (path.parent / each).write_text(text)
        if name == "sensitivity.json":
            fill(path.parent)
        with pytest.raises(OSError, match="No space left on device") as error:
            WRITERS[name](saved, path)
        assert f"`path` is {str(path)!r}" in assert_one_sentence(error)
        left = {entry.name: entry.read_text() for entry in written(path.parent)}
        left.pop("fill", None)
        assert left == earlier


@pytest.mark.parametrize("name", ["small.keras", "small.h5", "sensitivity.json"])
def test_a_file_that_may_not_grow_is_one_sentence(saved, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with (
        limited(16 if name == "sensitivity.json" else ROOM),
        pytest.raises(OSError, match="File too large") as error,
    ):
        WRITERS[name](saved, tmp_path / name)
    assert f"`path` is {str(tmp_path / name)!r}" in assert_one_sentence(error)
    assert {entry.name: entry.read_text() for entry in written(tmp_path)} == {name: "{}"}


@pytest.mark.parametrize("name", ["out.tflite", "latencies.json"])
def test_temporary_files_without_room_are_not_blamed_on_the_path(saved, tmp_path, name):
    with limited(16), pytest.raises((OSError, ValueError)) as error:
        WRITERS[name](saved, tmp_path / name)
    assert f"folder for temporary files, {tempfile.gettempdir()!r}," in assert_one_sentence(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_cannot_be_written_is_one_sentence_before_the_work(saved, tmp_path, name):
    with mounted(tmp_path / "disk", "ro"), pytest.raises(OSError) as error:
        WRITERS[name](saved, tmp_path / "disk" / name)
    assert "Read-only file system" in assert_one_sentence(error)


@pytest.mark.parametrize("name", WRITERS)
def test_names_in_any_language_are_written(saved, tmp_path, name):
    folder = tmp_path / "größe 模型 # %20 'x'"
    folder.mkdir()
    WRITERS[name](saved, folder / f"ü {name}")
    assert [entry.name for entry in written(folder)] == [f"ü {name}"]


def test_names_in_any_language_are_read(saved, tmp_path, monkeypatch):
    path = tmp_path / "größe 模型 # %20 'x'.tflite"
    spp.export_tflite(saved[0], path, pack=False)
    monkeypatch.chdir(tmp_path)
    for each in (path, path.name):
        assert spp.read_metadata(each)["quantization"] == "none"
        assert spp.benchmark(each, runs=1)[0].name == path.stem
        assert spp.parity(saved[0], each, np.ones((1, 8, 8, 3)))[0].max_difference < 1e-4


def train(log_dir, callbacks=()):
    model = keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(1)])
    pruned = spp.prune(
        model, pruning_ratio=0.5, round_to=1, schedule=spp.SPPSchedule(A=0.2, frequency=1)
    )
    pruned.compile("sgd", "mse")
    x, y = np.ones((30, 4)), np.ones((30, 1))
    spp_callback = spp.SPPCallback(log_dir=log_dir)
    history = pruned.fit(
        x, y, batch_size=1, epochs=2, verbose=0, callbacks=[*callbacks, spp_callback]
    )
    return history.history["groups_decided"]


def test_a_log_that_cannot_begin_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="`log_dir`") as error:
        train(tmp_path / "file" / "log")
    assert "[Op" not in assert_one_sentence(error)


def test_a_disk_that_fills_while_training_ends_the_log_and_not_the_training(tmp_path):
    folder = tmp_path / "full"
    with mounted(folder, f"size={ROOM}"):
        full = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: fill(folder) if epoch == 0 else None
        )
        with pytest.warns(UserWarning, match="SPP logs no more.*No space left on device") as caught:
            decided = train(folder / "log", [full])
    assert decided[-1] == 1.0
    assert len([each for each in caught if "logs no more" in str(each.message)]) == 1


def test_another_error_inside_the_block_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(ConnectionError, match="lost"), atomic_path(tmp_path / "a"):
        raise ConnectionError("lost")
