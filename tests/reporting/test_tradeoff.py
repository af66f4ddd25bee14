"""What speedups cost and gain, before training."""

import json
import re

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.reporting.samples import split
from tests.helpers.pages import Page, screenshot
from tests.helpers.sentences import assert_one_sentence
from tests.reporting.conftest import network

FAST = {"allocation": spp.Uniform(), "epochs": 1, "verbose": 0}


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(80, 12, 12, 3)).astype("float32")
    return x, np.arange(80) % 4


def test_each_speedup_is_pruned_judged_and_timed(dense, data, tmp_path):
    path = tmp_path / "page.html"
    found = spp.tradeoff(dense, [data], (2, 1.5), path=path, **FAST)
    assert [row.target for row in found] == [1, 1.5, 2] and found.samples == 20
    first, *others = found
    held = [array[3::4] for array in data]
    right = (dense.predict(held[0], verbose=0).argmax(-1) == held[1]).mean()
    assert (first.macs_speedup, first.agreement, first.lost) == (1, 1, 0)
    assert first.right == pytest.approx(right) and found.measure == "right"
    macs = spp.analyze(dense).macs
    for row in others:
        assert row.macs_speedup >= row.target and row.median_ms > 0 and row.file_bytes > 0
        assert row.lost > 0
    # The same as by hand, with the samples in the order in which they were given.
    used = data[0][np.arange(80) % 4 != 3]
    small = spp.compress(dense, used, 2, **FAST)
    assert found[-1].macs_speedup == macs / spp.analyze(small).macs
    assert found[-1].params == spp.analyze(small).params
    answers = [model.predict(held[0], verbose=0).argmax(-1) for model in (dense, small)]
    assert found[-1].agreement == pytest.approx((answers[0] == answers[1]).mean())
    page = Page(path)
    assert page.row("2x")[1:4] == found.cells()[-1][1:4]
    assert "svg" in page.tags and page.loaded == []
    assert screenshot(path, tmp_path / "page.png", 390) == []


def test_without_labels_the_table_says_how_many_answers_are_the_same(dense, data):
    found = spp.tradeoff(dense, data[0], (2,), device=None, **FAST)
    assert found.measure == "the same answer" and found[0].right is None
    assert found[1].answer == found[1].agreement
    assert "as it is" in str(found) and "ms" not in found.titles()
    assert spp.Tradeoff.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_one_number_is_judged_by_its_variance(keras, data):
    dense = network(keras)
    number = keras.Model(dense.input, keras.layers.Dense(1)(dense.output))
    found = spp.tradeoff(number, data[0], (1.5,), device=None, **FAST)
    assert found.measure == "variance kept" and found[1].answer == 1 - found[1].lost < 1


def test_other_samples_may_judge(dense, data):
    test = [(data[0][:50], data[1][:50]), (data[0][50:], data[1][50:])]
    found = spp.tradeoff(dense, data[0], (2,), test_data=test, device=None, **FAST)
    assert found.samples == 80
    right = (dense.predict(data[0], verbose=0).argmax(-1) == data[1]).mean()
    assert found[0].right == pytest.approx(right)


def test_a_speedup_out_of_reach_is_told_and_the_others_are_shown(dense, data, tmp_path):
    found = spp.tradeoff(dense, data[0], (2, 1000), device=None, path=tmp_path / "p.html", **FAST)
    assert [row.target for row in found] == [1, 2] and "largest" in found.unreachable[1000]
    assert "1000x: " in Page(tmp_path / "p.html").text


def test_a_report_shows_it(dense, data, tmp_path):
    found = spp.tradeoff(dense, [data], (1.5, 2), device=None, **FAST)
    small = spp.compress(dense, data[0], 2, **FAST)
    page = Page(spp.report(dense, small, tmp_path / "r.html", tradeoff=found))
    assert "other speedups" in page.text and page.row("1.5x")[1:] == found.cells()[1][1:]
    with pytest.raises(TypeError, match=r"`tradeoff` must be what spp\.tradeoff"):
        spp.report(dense, small, tmp_path / "s.html", tradeoff=3)


@pytest.mark.parametrize("batch", [1, 5, 80])
def test_no_sample_is_used_and_judges(dense, data, batch):
    x, y = np.arange(80)[:, None, None, None] + np.zeros((1, 12, 12, 3), "float32"), data[1]
    batches = [(x[k : k + batch], y[k : k + batch]) for k in range(0, 80, batch)]
    used, judged = split(dense, batches, 30)
    first = np.concatenate(used)[:, 0, 0, 0]
    second = np.concatenate([inputs[0][:, 0, 0, 0] for inputs, _ in judged])
    assert len(first) == 30 and not set(first) & set(second)
    assert 9 <= len(second) <= 20
    labels = np.concatenate([labels for _, labels in judged])
    np.testing.assert_array_equal(labels, y[second.astype(int)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speedups": ()}, "`speedups` must hold at least one number"),
        ({"speedups": (2, 1)}, "`speedups` must be numbers above 1 but is 1"),
        ({"speedups": "fast"}, "`speedups` must be numbers above 1 but is 'fast'"),
        ({"speedups": (1000,)}, "the largest that this model"),
        ({"samples": 0}, "`samples` must be an integer"),
        ({"data": np.ones((2, 12, 12, 3))}, "at least 4 samples"),
        ({"path": "no/such/page.html"}, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(dense, data, tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    arguments = {"data": data[0], "speedups": (2,), "device": None, **FAST, **changes}
    with pytest.raises((ValueError, OSError), match=re.escape(message)) as error:
        spp.tradeoff(dense, **arguments)
    assert_one_sentence(error)
    assert list(tmp_path.iterdir()) == []
