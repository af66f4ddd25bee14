import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_spp.core import elimination
from keras_spp.core.elimination import Rows, eliminated


def drawn(seed, groups=4, rows=2, outputs=3):
    random = np.random.default_rng(seed)
    d = groups * rows
    # Inputs that depend on each other, but none almost wholly: rounding would decide that.
    x = random.normal(size=(200, d)) @ (2 * np.eye(d) + random.normal(size=(d, d)) / d**0.5)
    places = random.permutation(d).reshape(groups, rows)
    return random.normal(size=(d, outputs)), x.T @ x / 200, places


def least_error(weights, moments, gone):
    """The error of the best weights without some inputs, beside that of all."""
    left = np.setdiff1d(np.arange(len(moments)), gone)
    best = np.zeros_like(weights)
    best[left] = np.linalg.solve(moments[np.ix_(left, left)], (moments @ weights)[left])
    change = weights - best
    return np.einsum("do,de,eo->", change, moments, change)


@pytest.fixture(autouse=True)
def without_a_ridge(monkeypatch):
    monkeypatch.setattr(elimination, "RIDGE", 1e-12)


@given(st.integers(0, 10_000))
def test_what_is_lost_is_the_error_of_the_best_weights_without_what_is_gone(seed):
    weights, moments, places = drawn(seed)
    lost = eliminated([Rows(weights, moments, places, 1.0)], len(places))
    order = np.argsort(lost)
    for count in range(1, len(order)):
        gone = np.concatenate([places[group] for group in order[:count]])
        expected = least_error(weights, moments, gone)
        assert lost[order[count - 1]] == pytest.approx(expected, rel=1e-4), seed


def test_the_first_to_go_is_the_cheapest_of_all_layers_together():
    first, second = drawn(1), drawn(2)
    systems = [Rows(*first, scale=2.0), Rows(*second, scale=0.5)]
    lost = eliminated(systems, 4)
    costs = [
        least_error(*first[:2], first[2][group]) / 2
        + least_error(*second[:2], second[2][group]) / 0.5
        for group in range(4)
    ]
    assert np.argmin(lost) == np.argmin(costs)
    assert lost.min() == pytest.approx(min(costs), rel=1e-6)


def test_a_copy_of_a_channel_costs_nothing():
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 3))
    x = np.concatenate([x, x[:, :1]], 1)
    weights = random.normal(size=(4, 2))
    lost = eliminated([Rows(weights, x.T @ x / 100, np.arange(4)[:, None], 1.0)], 4)
    assert lost.argmin() in (0, 3) and lost.min() < 1e-6 < np.sort(lost)[1]


def test_inputs_that_are_never_there_go_first():
    moments = np.diag([1.0, 0.0, 2.0])
    lost = eliminated([Rows(np.ones((3, 1)), moments, np.arange(3)[:, None], 1.0)], 3)
    assert lost.argsort().tolist() == [1, 0, 2]
    assert all(a <= b for a, b in itertools.pairwise(np.sort(lost)))
