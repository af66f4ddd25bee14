"""The page about a dense and a small model."""

import re

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.devices.benchmark import BenchmarkReport, BenchmarkRow
from tests.helpers.pages import Page, screenshot
from tests.helpers.sentences import assert_one_sentence

SHORT = spp.SPPSchedule(frequency=1, A=0.4)


def test_two_models_are_enough(dense, small, tmp_path):
    path = spp.report(dense, small, tmp_path / "report.html")
    page = Page(path)
    before, after = spp.analyze(dense), spp.analyze(small)
    assert f"{before.macs / after.macs:.2f}x" in page.text
    assert f"{before.params / after.params:.2f}x" in page.text
    assert "not measured" in page.text and "Training" not in page.text
    for old, new in zip(before, after, strict=True):
        row = page.row(old.layer, old.type)
        assert row[3:7] == [f"{n:,}" for n in (old.macs, new.macs, old.params, new.params)]
        assert (f"{old.channels} → {new.channels}" in row) == (old.channels != new.channels)
    assert page.row("logits", "Dense")[-1] == "model output"
    share = f"{before[-1].macs / before.macs:.1%}".replace("%", " %")
    assert page.row("model output")[1:] == ["1", share, "logits"]


def test_it_loads_nothing_and_runs_nothing(dense, small, tmp_path):
    page = Page(spp.report(dense, small, tmp_path / "report.html"))
    assert page.loaded == [] and "script" not in page.tags
    assert "svg" in page.tags and "image" not in page.tags
    assert not re.search(r"@import|url\((?!#)", (tmp_path / "report.html").read_text())


def test_it_shows_files_times_answers_parity_and_training(keras, dense, images, tmp_path):
    labels = np.arange(64) % 4
    options = {"pruning_ratio": 0.5, "schedule": SHORT, "round_to": 4}
    pruned = spp.prune(dense, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("sgd", loss, metrics=["accuracy"])
    log = tmp_path / "log"
    callbacks = [spp.SPPCallback(log)]
    history = pruned.fit(images, labels, batch_size=8, epochs=3, verbose=0, callbacks=callbacks)
    small = spp.shrink(pruned)
    files = {name: tmp_path / f"{name}.tflite" for name in ("small", "dense")}
    for name, model in (("small", small), ("dense", dense)):
        spp.export_tflite(model, files[name])
    path = spp.report(
        dense,
        small,
        tmp_path / "report.html",
        tflite=files,
        history=[history, log],
        data=[(images, labels)],
    )
    page = Page(path)
    right = (small.predict(images, verbose=0).argmax(-1) == labels).mean()
    assert f"{right:.1%}".replace("%", " %") in page.text
    for name, file in files.items():
        row = page.row(name, file.name, "float32")
        assert row[3] == f"{file.stat().st_size:,}"
    assert page.row("small.tflite")[2] == "64" and float(page.row("small.tflite")[3]) < 1e-4
    assert "ms instead of" in page.text and "local" in page.text
    assert "accuracy by epoch" in page.text and "MACs speedup by training step" in page.text
    assert "p below 0.05: stays" in page.text


def test_what_was_measured_elsewhere_is_shown_as_it_is(dense, small, tmp_path):
    rows = [
        BenchmarkRow(name, ms, None, ms, ms, 8 / ms, 9, 3, None, 2, 50)
        for name, ms in (("dense", 8.0), ("small", 5.0), ("small int8", 2.0))
    ]
    report = BenchmarkReport("android:X", tuple(rows), "Pixel")
    page = Page(spp.report(dense, small, tmp_path / "r.html", benchmark=[report]))
    assert "1.60x" in page.text and "8 → 5 ms" in page.text
    assert "android:X (Pixel), 2 threads" in page.text
    assert page.row("small int8")[1:] == ["2.000", "?", "2.000", "2.000", "4.00x", "3", "?", "50"]


def test_a_model_of_one_layer(keras, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="only")])
    copy = keras.models.clone_model(model)
    page = Page(spp.report(model, copy, tmp_path / "r.html", data=np.ones((20, 4), "float32")))
    assert "1.00x" in page.text and page.row("only", "Dense")[2] == "3"
    assert "answer on" in page.text


def test_open_sizes(keras, tmp_path):
    L = keras.layers
    layers = [L.Conv2D(8, 3, name="c"), L.GlobalAveragePooling2D(), L.Dense(2)]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers])
    copy = keras.models.clone_model(model)
    assert "per position" in Page(spp.report(model, copy, tmp_path / "r.html")).text
    page = Page(spp.report(model, copy, tmp_path / "r.html", input_shape=(10, 10, 3)))
    assert page.row("c", "Conv2D")[3] == f"{8 * 8 * 27 * 8:,}"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"small": "other inputs"}, ValueError, "its inputs have shape"),
        ({"small": "other layers"}, ValueError, "has a layer 'strange'"),
        ({"small": "larger"}, ValueError, "in this order"),
        ({"small": "pruned"}, ValueError, "`small` 'net' is pruned already"),
        ({"dense": "dense.keras"}, TypeError, "`dense` must be a Keras model but is the path"),
        ({"tflite": "small.tflite"}, TypeError, "`tflite` must be a dict"),
        ({"tflite": {"small": "none.tflite"}}, FileNotFoundError, "export the model first"),
        ({"benchmark": [1.0]}, TypeError, "`benchmark` must be what spp.benchmark returned"),
        ({"parity": "p"}, TypeError, "`parity` must be what spp.parity returned"),
        ({"history": 3}, TypeError, "`history` must be what fit returned"),
        ({"history": "nowhere"}, FileNotFoundError, "`history`: the folder 'nowhere'"),
        ({"history": "."}, ValueError, "holds no log of spp.SPPCallback"),
        ({"data": np.ones((20, 5))}, ValueError, "`data` must yield batches of shape"),
        ({"path": "no/such/folder.html"}, FileNotFoundError, "does not exist"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_no_file(
    keras, dense, small, tmp_path, monkeypatch, changes, kind, message
):
    monkeypatch.chdir(tmp_path)
    inner = keras.layers.Dense(4, name="strange")
    models = {
        "other inputs": lambda: keras.Sequential([keras.Input((7,)), inner]),
        "other layers": lambda: keras.Sequential(
            [keras.Input((12, 12, 3)), keras.layers.GlobalAveragePooling2D(), inner]
        ),
        "larger": lambda: dense,
        "pruned": lambda: spp.prune(dense, pruning_ratio=0.5, schedule=SHORT),
    }
    arguments = {"dense": dense, "small": small, "path": "r.html", **changes}
    if changes.get("small") == "larger":
        arguments["dense"] = small
    if changes.get("small") in models:
        arguments["small"] = models[changes["small"]]()
    with pytest.raises(kind, match=re.escape(message)) as error:
        spp.report(**arguments)
    assert_one_sentence(error)
    assert list(tmp_path.iterdir()) == []


def test_a_report_says_what_it_lacks(dense, small, tmp_path, monkeypatch):
    import importlib

    found = importlib.import_module

    def absent(name):
        if name == "jinja2":
            raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")
        return found(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ImportError, match=r"needs jinja2.*pip install 'keras-spp\[report\]'"):
        spp.report(dense, small, tmp_path / "r.html")


def test_a_browser_shows_it_without_complaint(dense, small, images, tmp_path):
    path = spp.report(dense, small, tmp_path / "r.html", data=images)
    assert screenshot(path, tmp_path / "r.png") == []
