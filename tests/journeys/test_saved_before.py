"""What was saved before the package was taken apart into folders loads, and goes on bit for bit.

`saved_before/make.py` says what was saved, and `saved_before/go_on.py` goes on with it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from tests.saved_before import go_on
from tests.saved_before.cases import (
    BARE_FORMS,
    BATCH,
    CASES,
    EXPORTED,
    FILES,
    FOLDER,
    HALF,
    INTERRUPTED,
    SAVE_FREQ,
    STEPS,
    data,
)
from tests.zoo.models import relative_error

GOES_ON = pytest.mark.slow  # two processes take every case to its end

TESTS = Path(__file__).parents[1]
ORDERS = {"keras_spp, tf_keras": "package first", "tf_keras, keras_spp": "tf_keras first"}
CLOSE = 1e-5  # of an array's largest value, where convolutions are rounded in another way


# A SavedModel takes long to load: one by the package, the other by tf_keras itself.
WAYS = {
    **dict.fromkeys(FILES, ("spp", "keras")),
    "channel/saved_model": ("spp",),
    "column/saved_model": ("keras",),
}


def jobs():
    """CASE/FORM/WAY of all that go_on.py goes on with."""
    for name, case in CASES.items():
        for form in case.forms:
            ways = WAYS.get(form) or WAYS.get(f"{name}/{form}", ("anew",))
            yield from (f"{name}/{form}/{way}" for way in ways)


JOBS = list(jobs())
LOADED = [job for job in JOBS if "/backup/" not in job]
GO_ON = [job for job in JOBS if not go_on.only_loaded(*job.split("/"))]
WHOLE = [job for job in GO_ON if job.split("/")[1] not in BARE_FORMS]
BARE = [job for job in GO_ON if job not in WHOLE]
IN_BOTH_ORDERS = ["oneshot/model.keras/spp", "oneshot/model.h5/keras"]


def shares():
    """The jobs of each process; the smaller cases are those of the second."""
    first = [job for job in JOBS if job.startswith(("channel/", "gradual/"))]
    second = [job for job in JOBS if job not in first]
    for share in (first, second):
        share += [f"{name}/canary/plain" for name in dict.fromkeys(j.split("/")[0] for j in share)]
    first += [*IN_BOTH_ORDERS, "channel/measured/anew"]
    return dict(zip(ORDERS, (first, second), strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """All that was saved, in the folder "saved". The workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = base / "saved_before"
    with filelock.FileLock(base / "saved_before.lock"):
        if not found.exists():
            made = base / "saved_before_unfinished"
            shutil.rmtree(made, ignore_errors=True)
            for path in sorted(FOLDER.glob("*.tar.xz")):
                target = made / "saved" / path.name.partition(".")[0]
                shutil.unpack_archive(path, target, filter="data")
            made.rename(found)
    return found


@pytest.fixture(scope="module")
def folder(files):
    """The same, and beside it what came of it, in a folder for each order."""
    with filelock.FileLock(files / "went_on.lock"):
        if not (files / "went_on").exists():
            run(files)
            (files / "went_on").touch()
    return files


def run(made):
    """Runs both processes at once."""
    # The switch is what the first import in each process has to do without.
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    environment["PYTHONPATH"] = str(TESTS.parent)
    running = []
    for order, share in shares().items():
        results = made / ORDERS[order]
        results.mkdir(exist_ok=True)
        program = f"import {order}; from tests.saved_before import go_on; go_on.main()"
        command = [sys.executable, "-c", program, str(made / "saved"), str(results), *share]
        with open(made / f"{ORDERS[order]}.log", "w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        running.append(process)
    codes = [process.wait() for process in running]
    for code, name in zip(codes, ORDERS.values(), strict=True):
        assert code == 0, (made / f"{name}.log").read_text()[-3000:]


def results_of(folder, job, order=None):
    """What came of a job, in the order of imports that is given or in any."""
    names = ORDERS.values() if order is None else [ORDERS[order]]
    paths = [folder / name / f"{job.replace('/', ' ')}.npz" for name in names]
    results = dict(np.load(next(path for path in paths if path.exists())))
    assert "error" not in results, results["error"]
    return results


def part(results, label):
    return {
        name.removeprefix(f"{label}/"): array
        for name, array in results.items()
        if name.startswith(f"{label}/")
    }


def saved(folder, job, name):
    return dict(np.load(folder / "saved" / job.split("/")[0] / f"{name}.npz"))


def is_alike(folder, job):
    """Whether plain tf_keras rounds here as where the files were made: then bits are demanded."""
    found = results_of(folder, f"{job.split('/')[0]}/canary/plain")
    expected = saved(folder, job, "canary")
    assert found.keys() == expected.keys()
    return all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def assert_same(found, expected, bits):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        exact = bits or name in ("p", "alive", "drawn", "step") or array.dtype.kind != "f"
        if exact:
            np.testing.assert_array_equal(found[name], array, name)
        else:
            most = np.abs(array).max(initial=0)
            np.testing.assert_allclose(found[name], array, rtol=0, atol=CLOSE * most, err_msg=name)


def only(arrays, *kinds):
    return {name: array for name, array in arrays.items() if name.startswith(kinds)}


# -- pruned networks -----------------------------------------------------------------------------


@GOES_ON
@pytest.mark.parametrize("job", LOADED)
def test_what_was_saved_is_all_there_after_loading(job, folder):
    found, half = part(results_of(folder, job), "loaded"), saved(folder, job, "half")
    outputs = {"outputs": found.pop("outputs")}, {"outputs": half.pop("outputs")}
    if job.split("/")[1] in BARE_FORMS:
        found, half = (only(each, "weight", "p", "alive") for each in (found, half))
    assert_same(found, half, bits=True)
    assert_same(*outputs, is_alike(folder, job))


@GOES_ON
@pytest.mark.parametrize(
    "job", [job for job in JOBS if job.endswith(tuple(f"/{file}/keras" for file in FILES))]
)
def test_it_loads_alike_with_and_without_the_checks_of_the_package(job, folder):
    checked = results_of(folder, job.replace("/keras", "/spp"))
    assert str(results_of(folder, job)["config"]) == str(checked["config"])


@GOES_ON
@pytest.mark.parametrize("job", WHOLE)
def test_it_goes_on_as_if_nothing_had_happened(job, folder):
    assert_went_on(folder, job, results_of(folder, job))


def assert_went_on(folder, job, results):
    bits = is_alike(folder, job)
    assert_same(part(results, "end"), saved(folder, job, "whole"), bits)
    first = INTERRUPTED // SAVE_FREQ * SAVE_FREQ if "/backup/" in job else HALF
    drawn = {name: steps[first:] for name, steps in saved(folder, job, "drawn").items()}
    assert len(drawn["step"]) == STEPS - first
    assert_same(part(results, "drawn"), drawn, bits)
    progress = folder / "saved" / job.split("/")[0] / "progress.json"
    assert json.loads(str(results["progress"])) == json.loads(progress.read_text())


@GOES_ON
@pytest.mark.parametrize("job", WHOLE)
def test_what_is_left_of_it_is_the_same_network(job, folder):
    results, bits = results_of(folder, job), is_alike(folder, job)
    small = part(results, "small")
    assert_same(small, saved(folder, job, "small"), bits)
    if CASES[job.split("/")[0]].options["schedule"].evaluation == "expected":
        pruned = results["end/outputs"]
        np.testing.assert_allclose(small["outputs"], pruned, atol=CLOSE * np.abs(pruned).max())


@GOES_ON
@pytest.mark.parametrize("job", BARE)
def test_without_its_optimizer_it_goes_on_with_a_new_one(job, folder):
    results, bits = results_of(folder, job), is_alike(folder, job)
    end = part(results, "end")
    del end["outputs"]
    assert_same(end, saved(folder, job, "fresh"), bits)
    assert_same(part(results, "drawn"), saved(folder, job, "fresh_drawn"), bits)


@GOES_ON
@pytest.mark.parametrize("job", IN_BOTH_ORDERS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_imports_makes_no_difference(order, job, folder):
    results, half = results_of(folder, job, order), saved(folder, job, "half")
    assert_same(only(part(results, "loaded"), "weight"), only(half, "weight"), bits=True)
    assert_went_on(folder, job, results)


def test_the_files_hold_networks_in_the_middle_of_pruning(files):
    for name in ("channel", "column", "planned"):
        p = saved(files, name, "half")["p"]
        assert (p >= 1).any() and ((p > 0) & (p < 1)).any(), name
    p = saved(files, "column", "whole")["p"]
    assert (p >= 1).any() and ((p > 0) & (p < 1)).any()


# -- finished networks, and what was exported of them --------------------------------------------


@pytest.mark.parametrize("load", [spp.load_model, keras.models.load_model])
@pytest.mark.parametrize("name", EXPORTED.values())
def test_a_finished_network_and_what_was_left_of_it_load(name, load, files):
    finished, small = (
        load(files / "saved" / name / file) for file in ("finished.keras", "small.keras")
    )
    assert spp.Pruner(finished).progress().finished
    left = spp.shrink(finished)
    for found, expected in zip(left.get_weights(), small.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert relative_error(left, small) == 0
    assert relative_error(finished, small) <= CLOSE


@pytest.mark.parametrize("name", EXPORTED.values())
def test_an_exported_file_tells_what_it_told(name, files, tmp_path):
    path = files / "saved" / name
    known = json.loads((path / "metadata.json").read_text())
    assert spp.read_metadata(path / "small.tflite") == known
    assert known["pruned"]["speedup"] > 1 and ("last_round" in known["pruned"]) == ("again" in name)
    spp.export_tflite(spp.shrink(spp.load_model(path / "finished.keras")), tmp_path / "m.tflite")
    now = spp.read_metadata(tmp_path / "m.tflite")
    assert {**now, "keras_spp": ""} == {**known, "keras_spp": ""}


@pytest.mark.parametrize("name", EXPORTED.values())
def test_an_exported_file_computes_what_its_model_does(name, files):
    path = files / "saved" / name
    small = keras.models.load_model(path / "small.keras", compile=False)
    report = spp.parity(small, path / "small.tflite", data()[0][:BATCH])
    most = np.abs(small(data()[0][:BATCH]).numpy()).max()
    assert report[0].max_difference <= CLOSE * most


# -- files of measurements -----------------------------------------------------------------------


@GOES_ON
def test_nothing_is_measured_again_that_a_file_of_measurements_knows(folder):
    job = "channel/measured/anew"
    results, path = results_of(folder, job), folder / "saved" / "measured"
    goals = json.loads((path / "goals.json").read_text())
    before = {name: json.loads((path / name).read_text()) for name in goals}
    after = {name: json.loads(str(results[name])) for name in goals}
    assert set(results["timed"]) <= {"dense", "small"}, "whole networks, and no layer"
    assert after["latency.json"] == before["latency.json"]
    assert int(results["goal of latency.json"]) == goals["latency.json"]
    if is_alike(folder, job):  # otherwise the dense outputs differ, and with them the key
        assert after["sensitivity.json"] == before["sensitivity.json"]
        assert int(results["goal of sensitivity.json"]) == goals["sensitivity.json"]
    else:
        assert before["sensitivity.json"].items() <= after["sensitivity.json"].items()
