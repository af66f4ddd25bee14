"""The page of facts, whatever they are."""

import re

import numpy as np
import pytest

from keras_spp.analysis.analysis import Analysis, AnalysisRow
from keras_spp.devices.benchmark import BenchmarkReport, BenchmarkRow
from keras_spp.reporting.agreement import Agreement, OutputAgreement
from keras_spp.reporting.comparison import Comparison, LayerChange
from keras_spp.reporting.costs import Tradeoff, TradeoffRow
from keras_spp.reporting.facts import Facts
from keras_spp.reporting.history import History, read
from keras_spp.reporting.page import render, render_tradeoff
from keras_spp.training.event_log import Moment
from tests.helpers.pages import Page, screenshot


def facts(count=3, name="layer{}", reason="model output", title="A model", **others):
    """Facts about a model of so many layers, every other of which cannot be pruned."""
    rows = []
    for number in range(count):
        kept = number % 2 == 1
        rows.append(
            LayerChange(
                layer=name.format(number),
                type="Conv2D",
                channels=(64, 64 if kept else 48),
                macs=(1000 * (number + 1), 500 * (number + 1)),
                params=(400, 300),
                prunable=not kept,
                reason=reason if kept else None,
            )
        )
    dense, small = (
        Analysis(
            "model",
            tuple(
                AnalysisRow(
                    row.layer, row.type, row.channels[k], 1, row.macs[k], row.params[k], True, None
                )
                for row in rows
            ),
            True,
        )
        for k in (0, 1)
    )
    return Facts(title, Comparison(dense, small, tuple(rows)), **others)


def page_of(made, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(made, encoding="utf-8")
    return Page(path)


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>&amp;{}", "</title></style>'\"{}", "$x^2$ {} \\alpha", "<!--{}"],
)
def test_names_are_text_wherever_they_stand(tmp_path, name):
    timed = BenchmarkReport(name, (BenchmarkRow(name, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),), name)
    output = OutputAgreement(name, 0.5, None, None, 0, 0, 0, 0)
    known = {"times": (timed,), "agreement": Agreement(3, (output,))}
    made = facts(2, name, name, name, **known)
    page = page_of(render(made), tmp_path)
    one = name.format(1)
    assert page.text.count(one) >= 3 and page.row(one, "Conv2D")[-1] == name
    plain = page_of(render(facts(2)), tmp_path)
    assert set(page.tags) <= {*plain.tags, "h3"} and "script" not in page.tags


def test_hundreds_of_layers_are_folded(tmp_path):
    page = page_of(render(facts(121)), tmp_path)
    assert "The 40 layers with the most MACs of 121" in page.text
    assert "Layers 81 to 120 of 121, in their order" in page.text
    assert "All 121 layers in numbers" in page.text
    shown = page.text[: page.text.index("Layers 1 to 40")]
    assert "layer120" in shown and "layer0" not in shown
    assert page.row("model output")[1:3] == ["60", "49.6 %"]


def test_the_largest_numbers_come_first(tmp_path):
    rows = [
        BenchmarkRow(name, ms, ms, ms, ms, 6 / ms, 1000, 9, 9, 1, 50)
        for name, ms in (("dense", 6.0), ("small int8", 2.0), ("small", 8.0))
    ]
    output = OutputAgreement("y", 0.75, 0.9, 0.875, 0.1, 0.2, 3.0, 4.0)
    known = {"times": (BenchmarkReport("board", tuple(rows)),)}
    made = facts(2, agreement=Agreement(200, (output,)), **known)
    page = page_of(render(made), tmp_path)
    for said in (
        "2.00x",
        "1.33x",
        "0.75x",
        "6 \u2192 8 ms",
        "87.5 %",
        "dense 90.0 % (-2.5 points)",
    ):
        assert said in page.text, said
    assert "It is right on 87.5 % of 200 samples, where the dense model is on 90.0 %." in page.text
    assert page.row("y")[1:5] == ["75.0 %", "90.0 %", "87.5 %", "10.0 %"]


def test_outputs_that_decide_nothing_are_judged_by_variance(tmp_path):
    output = OutputAgreement("y", None, None, None, 0.25, 0.2, 3.0, 4.0)
    page = page_of(render(facts(2, agreement=Agreement(9, (output,)))), tmp_path)
    assert "On 9 samples its outputs keep 75.0 % of the variance" in page.text


def moments(steps, p):
    return [Moment(step, {"macs_speedup": 1.5}, np.histogram(p, 20, (0, 1))[0]) for step in steps]


def test_p_over_time_is_drawn_by_bands(tmp_path):
    history = History({}, moments(range(0, 5000, 2), [0.0, 0.5, 1.0, 1.0]))
    made = render(facts(2, history=history))
    page = page_of(made, tmp_path)
    assert "p below 0.05: stays" in page.text and "MACs speedup by training step" in page.text
    assert len(made) < 400_000
    areas = dict(re.findall(r'<path d="M ([^"]*)"[^>]*fill: var\(--(p\d)\)', made))
    assert {name for name in areas.values()} >= {"p0", "p2", "p4"}


def test_without_anything_to_draw_there_is_no_training(tmp_path):
    for history in (None, History({}, []), History({"other": [1.0]}, moments([0], [0.5]))):
        made = render(facts(2, history=history))
        assert ("<h2>Training</h2>" in made) == (history is not None and bool(history.epochs))


def test_several_trainings_follow_each_other():
    history = read([{"loss": [3, 2], "accuracy": [0.1, 0.2]}, {"loss": [1], "val_loss": [4]}])
    assert history.epochs["loss"] == [3, 2, 1] and history.metric == "accuracy"
    np.testing.assert_array_equal(history.epochs["val_loss"], [np.nan, np.nan, 4])
    assert read(None) is None and read([]) is None


def test_a_tradeoff_is_a_page_of_its_own(tmp_path):
    rows = [TradeoffRow(x, x, 1000, None, 1 / x, 0.1, 9 / x, x, 500) for x in (1.0, 2.0, 4.0)]
    found = Tradeoff("<m>", 100, "board", "", "int8", tuple(rows), {9.0: "too far."})
    page = page_of(render_tradeoff(found), tmp_path)
    assert page.row("4x") == ["4x", "4.00x", "1 k", "25.0 %", "2.25", "4.00x", "500 B"]
    assert "5.0 points off" in page.text and "9x: too far." in page.text
    assert "Timed on board, weights int8." in page.text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_in_the_colours_asked_for(tmp_path, width, dark):
    from PIL import Image

    page_of(render(facts(30)), tmp_path)
    picture = tmp_path / "page.png"
    assert screenshot(tmp_path / "page.html", picture, width, dark=dark) == []
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert (np.median(pixels) < 60) == dark and pixels.std() > 10


def test_a_complaint_of_the_browser_would_be_seen(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<script>console.error('broken')</script>")
    assert any("broken" in line for line in screenshot(path, tmp_path / "bad.png"))
