"""A file that is read is never written over, whatever it is called."""

import itertools
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import keras_spp as spp
from keras_spp.cli import main
from keras_spp.util.files import check_apart
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L, random_probabilities, randomize


def content(folder):
    """Of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model, the same pruned, each as a file and a folder, and samples."""
    folder = tmp_path_factory.mktemp("saved")
    layers = [L.Dense(8, name="a"), L.Dense(2, name="b")]
    model = randomize(keras.Sequential([keras.Input((4,)), *layers]))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    model.save(folder / "m.keras")
    model.save(folder / "m")
    pruned.save(folder / "pruned.keras")
    pruned.save(folder / "pruned.h5")
    np.save(folder / "x.npy", np.ones((4, 4), "float32"))
    return folder


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """A copy of it that is the working folder."""
    subprocess.run(["cp", "-r", f"{saved}/.", str(tmp_path)], check=True)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), prog_name="keras-spp")


def refused(folder, *arguments):
    """Checks that a command ends in one sentence and writes nothing."""
    before = content(folder)
    result = run(*arguments)
    assert result.exit_code == 1 and result.stdout == "", result.output
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert result.stderr.endswith("choose another place.\n")
    assert content(folder) == before
    return result.stderr


def spelled(folder, name):
    """Other names for a file: spellings, links, links to links, a link in the way to it."""
    os.symlink(name, "soft")
    os.symlink("soft", "softer")
    os.symlink(folder, "sub/here")
    names = [name, f"./{name}", f"sub/../{name}", str(folder / name), f"sub/here/{name}", "softer"]
    if os.path.isfile(name):
        os.link(name, "hard")
        names.append("hard")
    return names


def test_export_does_not_write_over_its_model(folder):
    names = spelled(folder, "m.keras")
    for name in names:
        said = refused(folder, "export", "m.keras", name)
        assert f"OUT.tflite is {str(Path(name))!r}, the same file as MODEL 'm.keras'" in said
    for name in names:  # and the other way round
        assert repr(str(Path(name))) in refused(folder, "export", name, "m.keras")


@pytest.mark.parametrize("place", ["m/saved_model.pb", "m/new.tflite", "sub/../m/assets/x.tflite"])
def test_nothing_is_written_into_a_model_that_is_a_folder(folder, place):
    assert "which lies in MODEL 'm'" in refused(folder, "export", "m", place)
    os.symlink("m", "link")
    assert "MODEL 'link'" in refused(folder, "export", "link", place)
    assert "`original` 'm'" in refused(folder, "export", "m.keras", place, "--original=m")


@pytest.mark.parametrize("name", ["pruned.keras", "pruned.h5"])
def test_shrink_does_not_write_over_the_pruned_model(folder, name):
    for other in (name, f"./{name}", f"sub/../{name}"):
        said = refused(folder, "shrink", name, other)
        assert f"SMALL is {str(Path(other))!r}, the same file as PRUNED {name!r}" in said
    os.link(name, f"hard.{name}")
    refused(folder, "shrink", name, f"hard.{name}")


def test_no_two_files_of_an_export_are_the_same_if_one_is_written(folder):
    """Every pair of what it reads and writes, the cache that does not exist yet included."""
    read = {"MODEL": "m.keras", "`original`": "m", "`representative_data`": "x.npy"}
    for (what, name), written in itertools.product(read.items(), ("OUT.tflite", "`cache`")):
        files = {"OUT.tflite": "new.tflite", "`cache`": "new.json", written: f"./{name}"}
        said = refused(
            folder, "export", "m.keras", files["OUT.tflite"], "--original=m",
            "--representative-data=x.npy", f"--cache={files['`cache`']}", "--quantization=int8",
        )  # fmt: skip
        assert f"{written} is {name!r}, the same file as {what} {name!r}" in said
    said = refused(folder, "export", "m.keras", "new", "--cache=./new")
    assert "`cache` is 'new', the same file as OUT.tflite 'new'" in said


def test_a_module_that_is_imported_is_not_written_over(folder):
    (folder / "own_module.py").write_text("")
    said = refused(folder, "export", "m.keras", "own_module.py", "--import=own_module")
    assert "--import own_module" in said


def test_the_function_spares_the_files_of_its_device(folder):
    model = keras.models.load_model("m.keras", compile=False)
    (folder / "config").write_text("")
    (folder / "tool").write_text("")
    for device, name in (
        (spp.Device(cache="c.json"), "c.json"),
        (spp.Device("android", binary="tool"), "tool"),
        (spp.Device("ssh://pi@host?config=config"), "config"),
    ):
        before = content(folder)
        for path in (name, f"sub/../{name}", folder / name):
            with pytest.raises(ValueError, match=r"`path` is .*, the same file as `") as error:
                spp.export_tflite(model, path, device=device)
            assert repr(name) in assert_one_sentence(error)
        assert content(folder) == before


def test_a_cache_is_none_of_the_other_files_of_a_device(folder):
    (folder / "tool").write_text("")
    for device, options in (
        ("android", {"binary": "./tool"}),
        ("ssh://pi@host?config=tool", {}),
    ):
        with pytest.raises(ValueError, match="`cache` is 'tool', the same file as `") as error:
            spp.Device(device, cache="tool", **options)
        assert_one_sentence(error)
    spp.Device("android", cache="c.json", binary="tool")


def test_the_caches_of_device_and_allocation_are_two(folder):
    model = keras.models.load_model("m.keras", compile=False)
    with pytest.raises(ValueError, match="`allocation`'s cache is 'c', the same file as") as error:
        spp.prune(
            model,
            target_latency=0.5,
            allocation=spp.Sensitivity(cache="c"),
            device=spp.Device(cache="./c"),
            representative_data=np.ones((4, 4)),
        )
    assert_one_sentence(error)


def test_files_that_are_apart_are_accepted(folder):
    """Names that only look alike, folders that only begin alike, and no paths at all."""
    names = ["m.keras", "m.keras2", "mm", "sub/m.keras", "M.keras", "m/saved_model.pb", "none"]
    for path, other in itertools.permutations(names, 2):
        if not (os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)):
            check_apart("`path`", path, {"`other`": other, "`none`": None})
    for wrong in (None, 3, b"m.keras"):
        check_apart("`path`", wrong, {"`model`": "m.keras"})
    assert run("export", "m", "m.tflite", "--original=m.keras").exit_code == 0
    assert run("export", "m", "m.tflite", "--original=m.keras", "--cache=c.json").exit_code == 0


def test_letters_whose_case_the_file_system_ignores_are_the_same_file(folder, monkeypatch):
    real = os.path.samefile

    def folding(a, b):
        return real(str(a).lower(), str(b).lower())

    monkeypatch.setattr(os.path, "samefile", folding)
    assert "'M.KERAS'" in refused(folder, "export", "m.keras", "M.KERAS")
