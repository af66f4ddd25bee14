"""The commands that write pages."""

import json

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.commands import fails, succeeds
from tests.helpers.pages import Page


@pytest.fixture
def samples(tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", images=x, labels=np.arange(64) % 4)
    return x


@pytest.fixture
def small(run, pruned, tmp_path):
    spp.shrink(pruned).save(tmp_path / "small.keras")
    spp.export_tflite(spp.shrink(pruned), tmp_path / "small.tflite")


def test_a_report_of_saved_models_and_files(run, plain, small, samples, tmp_path):
    timing = succeeds(run("benchmark", "dense={folder}/plain.tflite", "small.tflite", "--json"))
    (tmp_path / "b.json").write_text(timing)
    (tmp_path / "h.json").write_text(json.dumps({"accuracy": [0.5, 0.75]}))
    out = succeeds(
        run(
            "report", "{folder}/plain.keras", "small.keras", "out.html",
            "--tflite", "dense={folder}/plain.tflite", "--tflite", "small.tflite",
            "--benchmark", "b.json", "--history", "h.json", "--data", "x.npz", "--title", "A & B",
        )
    )  # fmt: skip
    assert out == "out.html\n"
    page = Page(tmp_path / "out.html")
    assert "A & B" in page.text and "accuracy by epoch" in page.text
    median = json.loads(timing)["rows"][1]["median_ms"]
    assert page.row("small")[1] == f"{median:.3f}"
    expected = spp.load_model(tmp_path / "small.keras", compile=False).predict(samples, verbose=0)
    right = (expected.argmax(-1) == np.arange(64) % 4).mean()
    assert f"{right:.1%}".replace("%", " %") in page.text


def test_a_tradeoff_of_a_saved_model(run, plain, samples, tmp_path):
    arguments = ("--data", "x.npz", "--speedups", "1.5", "--round-to", 4, "--out", "page.html")
    out = succeeds(run("tradeoff", "{folder}/plain.keras", *arguments, "--untimed", "--json"))
    data = [(samples, np.arange(64) % 4)]
    found = spp.tradeoff(plain, data, (1.5,), device=None, round_to=4, verbose=0)
    assert json.loads(out) == json.loads(json.dumps(found.to_dict()))
    assert Page(tmp_path / "page.html").row("1.5x")[1:] == found.cells()[1][1:]
    (tmp_path / "t.json").write_text(out)
    plain.save("copy.keras")
    page = ("report", "{folder}/plain.keras", "copy.keras", "r.html", "--tradeoff", "t.json")
    succeeds(run(*page))
    assert Page(tmp_path / "r.html").row("1.5x")[1:] == found.cells()[1][1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "{folder}/plain.keras", "small.keras", "small.keras"], "the same file as"),
        (["report", "small.keras", "{folder}/plain.keras", "r.html"], "in this order"),
        (
            ["report", "{folder}/plain.keras", "small.keras", "r.html", "--benchmark", "x.json"],
            "must be what `keras-spp benchmark --json` printed",
        ),
        (
            ["report", "{folder}/plain.keras", "small.keras", "r.html", "--history", "x.json"],
            "a dict, of epochs",
        ),
        (["tradeoff", "{folder}/plain.keras", "--data", "x.npy", "--speedups", "a"], "--speedups"),
        (["tradeoff", "{folder}/plain.keras", "--data", "x.npy", "--out", "x.npy"], "--data"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, small, samples, tmp_path, arguments, message):
    (tmp_path / "x.json").write_text("[1]")
    fails(run(*arguments), message)
    assert not (tmp_path / "r.html").exists()
