"""Files that name modules and functions at any place: nothing of them is imported or called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from keras_spp.frameworks.tf_keras.loading import load_model
from tests.helpers import hostile
from tests.helpers.sentences import assert_one_sentence

ROOT = Path(__file__).parents[2]
SHAPES = {"items", "serialized", "type_spec"}  # in SavedModels these are read as numbers at once
DECOYS = [None, "keras_spp>PruneSPP", "relu"]


@pytest.fixture(scope="module", params=hostile.FORMATS)
def file(request, tmp_path_factory):
    return hostile.File(hostile.model(), tmp_path_factory.mktemp("untrusted") / request.param)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    hostile.bring_along()


def unharmed():
    return not [*Path().glob("owned*")] and not {*hostile.BROUGHT, "package"} & set(sys.modules)


def test_an_object_of_an_unknown_module_is_refused_at_every_place(file):
    """As a function, as a class, as a type; behind names that are registered or in tables."""
    found = [
        (number, path)
        for number, config in enumerate(file.configs)
        for path in hostile.places(config)
        if not {*path} & SHAPES
    ]
    step = max(1, len(found) // 150)  # not all of their hundreds of places
    for turn, (number, path) in enumerate(found[::step]):
        entry = {
            "module": ("came_along", "package.inner", "keras_spp")[turn // 2 % 3],
            "class_name": ("function", "Mine")[turn % 2],
            "config": ("act", {})[turn % 2],
            "registered_name": DECOYS[turn // 6 % 3],
        }
        if entry["class_name"] == "Mine" and entry["registered_name"] == "keras_spp>PruneSPP":
            entry["registered_name"] = "Mine"  # by the other name it would be PruneSPP
        file.write(number, hostile.changed(file.configs[number], path, entry))
        with pytest.raises(ValueError, match=r"would run code") as error:
            load_model(file.path)
        assert_one_sentence(error)
        assert unharmed(), (number, path, entry)


def test_an_object_whose_names_are_changed_one_by_one_calls_nothing(file):
    """Each object of each configuration with a name of an unknown module under each of its keys."""
    random = np.random.default_rng(seed := 0)
    found = [
        (number, path)
        for number, config in enumerate(file.configs)
        for path in hostile.places(config)
        if isinstance(hostile.at(config, path), dict) and "class_name" in hostile.at(config, path)
    ]
    for turn in random.permutation(len(found))[: 3 if file.path.suffix == "" else 12]:
        number, path = found[turn]
        was = hostile.at(file.configs[number], path)
        for change in (
            {"module": "came_along"},
            {"module": "came_along", "registered_name": "keras_spp>SPPSchedule"},
            {"class_name": "Mine.act", "module": "package"},
            {"class_name": "function", "module": "package.inner", "config": "act"},
        ):
            file.write(number, hostile.changed(file.configs[number], path, {**was, **change}))
            try:
                assert isinstance(load_model(file.path), keras.Model)
            except ValueError as error:
                assert str(error).endswith(".") and "\n" not in str(error), (seed, path, change)
            assert unharmed(), (seed, number, path, change)


def attack(seed, count, folder):
    """Runs `attacked.py`, and returns what it printed."""
    hostile.bring_along(folder)
    paths = os.pathsep.join(map(str, (ROOT, folder)))
    program = [sys.executable, ROOT / "tests" / "helpers" / "attacked.py", str(seed), str(count)]
    result = subprocess.run(
        program, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    *cases, summary = map(json.loads, result.stdout.splitlines())
    return cases, summary


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 20), pytest.param(None, 5000, marks=pytest.mark.slow)]
)
def test_changed_files_import_and_call_nothing(tmp_path, seed, count):
    """The interpreter itself tells of modules, files, programs and connections."""
    if seed is None:
        seed = int(np.random.SeedSequence().entropy % 2**32)
    folder = tmp_path / "attacked"
    folder.mkdir()
    cases, summary = attack(seed, count, folder)
    assert not cases and not summary["left"], (seed, cases[:3], summary)
    # One that is let through is seen: otherwise silence would prove nothing.
    for trace in ("import came_along", "owned_by_import", "owned_by_call"):
        assert trace in str(summary["permitted"]), summary
    outcomes = summary["outcomes"]
    assert sum(outcomes.values()) == count
    ends = {"would run code", "sentence", "Functional", "Sequential", "endless"}
    assert {*outcomes} <= ends and outcomes.get("endless", 0) < count / 100, (seed, outcomes)
    # Neither all nor none: the changed files are such that tf_keras gets to see many of them.
    assert 0.3 < outcomes["would run code"] / count < 0.9, (seed, outcomes)
