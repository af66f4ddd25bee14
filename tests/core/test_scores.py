"""Scores on NumPy's arrays and on records written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_spp.core import arrays, scores
from keras_spp.core.groups import Groups
from keras_spp.core.schedule import SPPSchedule
from tests.helpers.records import Record


def masked(weight, layout):
    """A masked weight, as scores look at it."""

    def sums(contribution):
        return layout.summed(arrays, contribution(weight))

    return SimpleNamespace(weight=weight, layout=layout, sums=sums)


def fourth_power(weight):
    return weight**4


@pytest.mark.parametrize(
    ("score", "of_group"),
    [
        ("l1", lambda w: np.abs(w).sum(0)),
        ("l2", lambda w: np.sqrt((w**2).sum(0))),
        (fourth_power, lambda w: (w**4).sum(0)),
        (np.square, lambda w: (w**2).sum(0)),
    ],
)
@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_magnitudes_are_summed_in_each_group(score, of_group, granularity):
    net = Record()
    y = net.conv("second", net.conv("first", net.image(3), 8, size=3), 6, size=3)
    random = np.random.default_rng(0)
    for reader in net.groups(y, granularity=granularity).readers:
        (mask,) = reader.weights
        kernel = random.normal(size=mask.variable.shape).astype("float32")
        rows = -1 if granularity == "column" else -2
        weights = np.moveaxis(kernel, rows, 0)  # filters of a column, or channels first
        weights = weights.reshape(len(weights), -1)
        weights = weights if granularity == "column" else weights.T
        stand_in = SimpleNamespace(masked=[masked(kernel, mask.layout)])
        (scored,) = scores.get(score).of(arrays, [stand_in], None)
        np.testing.assert_allclose(scored, of_group(weights), rtol=1e-4)


def test_the_weights_of_one_layer_are_added():
    net = Record()
    (reader,) = net.groups(net.dense("dense", net.conv("conv", net.image(3), 4), 2)).readers
    weights = [masked(np.float32(np.full((4, 2), n)), reader.weights[0].layout) for n in (1, -2)]
    (scored,) = scores.get("l1").of(arrays, [SimpleNamespace(masked=weights)], None)
    assert scored.tolist() == [6] * 4


def residual(gammas):
    """Two convolutions of 12 channels that are added, and what normalises them."""
    net = Record()
    stem = net.conv("stem", net.image(3), 12, size=3)
    block = net.conv("block", stem, 12, size=3)
    net.channels.tie(stem, block)
    for name, labels, gamma in zip(("stem", "block"), (stem, block), gammas, strict=True):
        net.normalisation(f"{name}_norm", labels, gamma)
    return net.coupling(net.dense("head", block, 4))


def test_bn_scale_adds_the_relative_scales_of_all_normalisations_of_a_channel():
    gammas = np.random.default_rng(0).normal(size=(2, 12)).astype("float32")
    total = sum(np.abs(gamma) / np.abs(gamma).mean() for gamma in gammas)
    coupling = residual(gammas)
    groups = Groups(coupling, "channel")
    scores.get("bn_scale").check(groups)
    readers = [
        SimpleNamespace(masked=[masked(mask.variable, mask.layout) for mask in reader.weights])
        for reader in groups.readers
    ]
    scored = scores.get("bn_scale").of(arrays, readers, lambda: coupling)
    assert len(scored) == 2
    for of_reader in scored:
        np.testing.assert_allclose(of_reader, total, rtol=1e-5)


def test_bn_scale_says_what_it_cannot_score():
    score = scores.get("bn_scale")
    with pytest.raises(ValueError, match=r"ranks channels but `granularity` is 'column'"):
        score.check(Groups(residual(np.ones((2, 12))), "column"))
    with pytest.raises(ValueError, match=r"there is none behind \['stem'\]"):
        score.check(Groups(residual([None, None]), "channel"))


@pytest.mark.parametrize("score", ["L1", "", None, 3, ["l1"]])
def test_what_is_no_score_is_refused(score):
    with pytest.raises(ValueError, match=r"`score` must be one of 'l1', 'l2', 'taylor'"):
        SPPSchedule(score=score)


def test_every_name_is_documented():
    for name in scores.NAMED:
        assert f"| {name} |" in scores.__doc__
