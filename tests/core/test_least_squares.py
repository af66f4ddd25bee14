import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_spp.core.least_squares import FewRows, Moments, choose_ridge

KINDS = [Moments, FewRows]


def problem(seed, rows=50, systems=2, d=6, outputs=3):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, systems, d)) + random.normal(size=(systems, d))
    y = np.einsum("rsd,sdo->rso", x, random.normal(size=(systems, d, outputs)))
    y += random.normal(size=y.shape) + 3
    return x, y, random.normal(size=(systems, d, outputs))


def system(kind, x, y, intercept=True, parts=3):
    moments = kind()
    for a, b in zip(np.array_split(x, parts), np.array_split(y, parts), strict=True):
        moments.add(a, b)
    return moments.system(intercept)


def error(x, y, weights, intercept):
    return np.square(np.einsum("rsd,sdo->rso", x, weights) + intercept - y).mean(0)


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(KINDS))
def test_errors_and_intercepts_are_those_of_the_rows(seed, intercept, kind):
    x, y, weights = problem(seed)
    equations = system(kind, x, y, intercept)
    added = equations.intercept(weights) if intercept else 0
    expected = error(x, y, weights, added)
    np.testing.assert_allclose(equations.error(weights), expected, 1e-8, err_msg=str(seed))
    if intercept:
        assert np.abs((np.einsum("rsd,sdo->rso", x, weights) + added - y).mean(0)).max() < 1e-9


@given(st.integers(0, 10_000), st.booleans(), st.floats(1e-6, 10), st.integers(3, 60))
def test_both_forms_give_the_same_weights_and_never_a_larger_error(seed, intercept, ridge, rows):
    x, y, old = problem(seed, rows)
    random = np.random.default_rng(seed)
    active = random.random((2, 6)) < 0.7
    old = old * active[..., None]
    first, second = (system(kind, x, y, intercept) for kind in KINDS)
    weights = first.solve(old, ridge, active)
    np.testing.assert_allclose(
        second.solve(old, ridge, active), weights, 1e-4, 1e-6, err_msg=str(seed)
    )
    assert (weights[~active] == 0).all()
    assert first.error(weights).sum() <= first.error(old).sum() * (1 + 1e-9), seed


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_pull_the_weights_are_those_of_numpy(kind):
    x, y, old = problem(1, rows=40 if kind is Moments else 4)
    weights = system(kind, x, y).solve(old, 1e-10)
    if kind is Moments:
        for number in range(2):
            centred = x[:, number] - x[:, number].mean(0), y[:, number] - y[:, number].mean(0)
            expected = np.linalg.lstsq(*centred, rcond=None)[0]
            np.testing.assert_allclose(weights[number], expected, 1e-5)
    else:  # more unknowns than rows: nothing is left
        assert system(kind, x, y).error(weights).max() < 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_a_strong_pull_and_inputs_that_never_change_leave_the_weights(kind):
    x, y, old = problem(2)
    np.testing.assert_allclose(system(kind, x, y).solve(old, 1e9), old, 1e-6)
    constant = np.broadcast_to(x[:1], x.shape)
    np.testing.assert_array_equal(system(kind, constant, y).solve(old, 1e-3), old)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_may_come_apart(kind):
    x, y, old = problem(3)
    parts = kind(), kind()
    parts[0].add(x[:20], y[:20])
    parts[1].add(x[20:], y[20:])
    together = parts[0] + parts[1]
    assert together.rows == 50
    np.testing.assert_allclose(
        together.system(True).solve(old, 0.1), system(kind, x, y).solve(old, 0.1)
    )


def test_the_ridge_is_larger_where_rows_are_few_and_noisy():
    random = np.random.default_rng(0)
    truth = random.normal(size=(1, 30, 2))

    def drawn(rows, noise):
        x = random.normal(size=(rows, 1, 30))
        y = np.einsum("rsd,sdo->rso", x, truth) + noise * random.normal(size=(rows, 1, 2))
        return system(Moments, x, y)

    old = truth + 0.1 * random.normal(size=truth.shape)
    few = choose_ridge(drawn(35, 3.0), drawn(500, 0.0), old)
    many = choose_ridge(drawn(5_000, 3.0), drawn(500, 0.0), old)
    assert few > many
