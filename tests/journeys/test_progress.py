"""Whatever takes long shows one bar in a terminal, one line in a log, and nothing if told so."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tf_keras

import keras_spp as spp
from keras_spp.pruning import compensated_search
from keras_spp.util import progress
from tests.helpers.consoles import bars, log, percentages, terminal, text
from tests.helpers.random_weights import randomize

L = tf_keras.layers
X = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")


class Steady(spp.Device):
    """A device on which latency is a matter of the file's size."""

    def measure(self, files):
        self._latencies |= {key: 1e-3 * len(content) for key, content in files.items()}

    def time(self, paths):
        paths = list(paths.values()) if isinstance(paths, dict) else [paths]
        times = [1e-3 * path.stat().st_size for path in paths]
        rows = [SimpleNamespace(median_ms=ms, ratio=times[0] / ms) for ms in times]
        return type("Report", (list,), {"system": ""})(rows)


@pytest.fixture(scope="module")
def net():
    layers = [L.Conv2D(16, 3, activation="relu", name=name) for name in "abc"]
    head = L.GlobalAveragePooling2D(), L.Dense(4)
    return randomize(tf_keras.Sequential([tf_keras.Input((8, 8, 3)), *layers, *head]))


@pytest.fixture(scope="module")
def in_columns(net):
    pruned = spp.prune(net, 0.5, granularity="column", schedule=spp.OneShotSchedule())
    pruned.compile("sgd", "mse")
    pruned.fit(X, np.zeros((64, 4)), epochs=5, callbacks=[spp.SPPCallback()], verbose=0)
    return spp.shrink(pruned)


def prune(net, verbose, target=None, **options):
    target = target or {"target_speedup": 1.5}
    return spp.prune(
        net, **target, round_to=1, representative_data=X, verbose=verbose, **options
    )  # fmt: skip


WORK = {
    "search": lambda net, _, verbose: prune(net, verbose),
    "an allocation's own search": lambda net, _, verbose: prune(
        net, 1, allocation=spp.Search(trials=4, verbose=verbose)
    ),
    "sensitivity": lambda net, _, verbose: prune(
        net, 1, allocation=spp.Sensitivity(points=2, verbose=verbose)
    ),
    "target_latency": lambda net, _, verbose: prune(
        net, verbose, {"target_latency": 0.7}, device=Steady(), allocation=spp.Search(trials=4)
    ),
    "compress": lambda net, _, verbose: spp.compress(net, X, round_to=1, verbose=verbose),
    "compensate": lambda net, _, verbose: spp.compensate(
        spp.compress(net, X, pruning_ratio=0.5, verbose=0), net, X, verbose=verbose
    ),
    "compare_rounding": lambda net, _, verbose: spp.compare_rounding(
        net, 1.5, round_to=(1, 4), device=Steady(), verbose=verbose
    ),
    "layouts": lambda _, path, verbose: spp.export_tflite(
        path.net, path.file, verbose=verbose, device=spp.Device(runs=1)
    ),
    "benchmark": lambda _, path, verbose: spp.benchmark(path.file, runs=40, verbose=verbose),
}


@pytest.mark.parametrize("name", WORK)
def test_long_work_is_shown_as_asked(name, net, in_columns, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compensated_search, "PLANS", (4, 4))
    path = SimpleNamespace(net=in_columns, file=tmp_path / "m.tflite")
    spp.export_tflite(net, path.file)
    shown = {"an allocation's own search": "search"}.get(name, name)
    capsys.readouterr()

    WORK[name](net, path, 0)
    assert capsys.readouterr() == ("", "")
    WORK[name](net, path, 1)
    assert re.fullmatch(rf"{shown}: \d+(\.\d)? s\n", capsys.readouterr().err)

    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    console = terminal()
    with progress.shown_on(console):
        WORK[name](net, path, 1)
    reached = percentages(console)
    assert bars(console) == {shown}
    assert reached == sorted(reached) and reached[-1] == 100
    assert len(set(reached)) > 2 and text(console).endswith("\n\x1b[?25h")


def test_pruning_without_long_work_shows_nothing(net):
    console = log()
    with progress.shown_on(console):
        spp.prune(net, 0.5)
    assert text(console) == ""


@pytest.mark.parametrize("name", ["prune", "compress", "compensate", "export", "benchmark"])
def test_a_wrong_verbose_is_named(name, net, tmp_path):
    calls = {
        "prune": lambda: spp.prune(net, 0.5, verbose=-1),
        "compress": lambda: spp.compress(net, X, verbose=-1),
        "compensate": lambda: spp.compensate(net, net, X, verbose=-1),
        "export": lambda: spp.export_tflite(net, tmp_path / "m.tflite", verbose=-1),
        "benchmark": lambda: spp.benchmark(tmp_path / "m.tflite", verbose=-1),
    }
    with pytest.raises(ValueError, match="`verbose` must be an integer of at least 0 but is -1"):
        calls[name]()
