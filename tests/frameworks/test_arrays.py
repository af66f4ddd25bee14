"""TensorFlow's functions compute what NumPy's do, in eager mode, in graphs and under XLA."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_spp as spp
from keras_spp.core import arrays
from keras_spp.core.decision import FlatGroups, State, accumulated, decide
from keras_spp.core.namespace import namespace_of
from keras_spp.core.probability import Sets
from keras_spp.frameworks.tensorflow import arrays as tf_arrays

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
V = np.float32([0.5, -2, 0, 3, 0.5, 0])  # without -0.0, which XLA alone sorts before 0.0
P = np.random.default_rng(1).uniform(size=77).astype(np.float32)
AT = np.int32([2, 0, 5, 1, 3, 4])
SEGMENTS = np.int32([0, 0, 2, 2, 2, 3])
BOOLEANS = V > 0
# Arguments for each function; arrays among them become tensors for TensorFlow.
CASES = {
    "abs": [(X,), (V,)],
    "all": [(BOOLEANS,), (V == V,)],
    "argsort": [(V,), (SEGMENTS[::-1].copy(),), (np.zeros(9, np.float32),)],
    "cast": [(BOOLEANS, "float32"), (V, "int32"), (3, "int64"), (V, np.float64)],
    "ceil": [(X,)],
    "clip": [(V, 0, 1)],
    "concatenate": [([V, V],), ([X, X], 1)],
    "divide_no_nan": [(V, np.float32(2)), (V, np.float32(0)), (V, V)],
    "draw": [(P, 0, 0), (P, 2**31 - 1, 7), (P.reshape(7, 11), 123, 10**10), (P[:1], 1, 2**40)],
    "exp": [(X,)],
    "isfinite": [(np.float32([1, np.nan, -np.inf]),)],
    "maximum": [(V, 0.0), (0.0, V), (SEGMENTS, 1)],
    "mean": [(X,)],
    "minimum": [(V, 0.0), (1.0, V)],
    "ones": [([3],), ([2, 1], "int32")],
    "reshape": [(X, [4, 3]), (X, [-1])],
    "scatter": [(AT, V, 6), (AT, BOOLEANS, 6), (AT[:2], V[:2], 6)],
    "scatter_add": [(V, AT, V), (np.zeros(4, np.float32), SEGMENTS, V)],
    "segment_sum": [(V, SEGMENTS, 5), (AT, SEGMENTS, 4)],
    "sqrt": [(np.abs(X),)],
    "square": [(X,)],
    "sum": [(X,), (X, [1]), (X, [0, 1]), (X, [])],
    "take": [(V, AT), (X, np.int32([[2, 0], [1, 1]])), (X, AT[:2], 1)],
    "where": [(BOOLEANS, V, 0.0), (BOOLEANS, 0.0, 1.0), (True, V, V[::-1].copy())],
    "zeros": [([3],), ([2, 1], "int32")],
}


def names(module):
    return {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
    }


def tensors(arguments):
    """The arguments with tensors in place of arrays, but the same numbers."""
    return tf.nest.map_structure(
        lambda value: tf.constant(value) if isinstance(value, np.ndarray) else value, arguments
    )


def assert_equal(found, expected, where):
    assert found.dtype.as_numpy_dtype == expected.dtype, where
    # exp is rounded differently in its last bit, and sums in another order.
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=5e-7, err_msg=where)


def test_both_have_the_same_functions_with_the_same_arguments():
    assert names(arrays) == names(tf_arrays) == set(CASES)
    for name in CASES:
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (arrays, tf_arrays))
        assert str(ours).split(" ->")[0].replace("Array", "Any") == str(theirs).split(" ->")[0]


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_a_function_of_tensorflow_equals_that_of_numpy(name, mode):
    for arguments in CASES[name]:
        expected = np.asarray(getattr(arrays, name)(*arguments))
        call = functools.partial(getattr(tf_arrays, name), *tensors(arguments))
        if mode != "eager":
            call = tf.function(call, jit_compile=mode == "xla")
        assert_equal(call(), expected, f"{name}{arguments}")


def test_an_array_says_what_computes_with_it():
    assert namespace_of(np.ones(2), 3, 0.5) is arrays
    for value in (tf.ones(2), tf.Variable(1)):
        assert namespace_of(np.ones(2), value) is tf_arrays
    tf.function(lambda x: namespace_of(x).exp(x))(tf.ones(2))


# -- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit_compile", [False, True])
def test_masks_are_the_formula_and_the_same_in_eager_graph_and_xla(jit_compile):
    random = np.random.default_rng(3)
    p = random.uniform(size=257).astype(np.float32)
    compiled = tf.function(tf_arrays.draw, jit_compile=jit_compile)
    for seed, step in ((0, 0), (1, 0), (2**31 - 1, 7), (123, 10**10)):
        formula = tf.random.stateless_uniform([257], seed=tf.constant([seed, step], tf.int64)) >= p
        where = f"seed {seed}, step {step}"
        eager = tf_arrays.draw(p, seed, tf.constant(step, tf.int64))
        np.testing.assert_array_equal(eager, formula, where)
        np.testing.assert_array_equal(
            compiled(p, seed, tf.constant(step, tf.int64)), formula, where
        )
        np.testing.assert_array_equal(arrays.draw(p, seed, step), formula, where)


# -- updates -------------------------------------------------------------------------------------

SCHEDULES = {
    "spp": lambda: spp.SPPSchedule(A=0.3),
    "scaled": lambda: spp.SPPSchedule(A=0.3, scale_survivors=True),
    "gradual": lambda: spp.GradualSchedule(updates=5),
    "one shot": spp.OneShotSchedule,
}


def situation(seed):
    """A random place in the middle of pruning: p, scores with ties, sets, updates made."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 15, random.integers(1, 6)).tolist()
    sets = Sets.of(sizes, [int(random.integers(0, size + 1)) for size in sizes], 0.1)
    p = random.uniform(0, 1.1, sum(sizes)).clip(0, 1).astype(np.float32)
    for number, goal in enumerate(sets.goal):  # no set has pruned more than it shall
        gone = np.flatnonzero((sets.of_group == number) & (p >= 1))
        p[gone[goal:]] = 0.9
    scores = random.integers(0, 6, len(p)).astype(np.float32)
    return p, scores, sets, int(random.integers(0, 15))


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_update_is_numpys_in_eager_graph_and_xla(name, mode, seed):
    p, scores, sets, made = situation(seed)
    schedule = SCHEDULES[name]()

    def move(p, scores, made):
        return schedule.move(p, scores, sets, made)

    expected = move(p, scores, made)
    if mode != "eager":
        move = tf.function(move, jit_compile=mode == "xla")
    found = move(tf.constant(p), tf.constant(scores), tf.constant(made, tf.int64))
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=3e-7, err_msg=f"seed {seed}")
        # Who is pruned must not depend on the last bit that a compiler rounds otherwise.
        np.testing.assert_array_equal(theirs == 1, ours == 1, f"seed {seed}")


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("score", ["l1", "taylor"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_decision_as_a_whole_is_numpys(score, mode, seed):
    p, _, sets, made = situation(seed)
    random = np.random.default_rng(seed)
    sizes = np.bincount(sets.of_group).tolist()
    entries = [
        {"name": str(number), "size": size, "goal": int(goal)}
        for number, (size, goal) in enumerate(zip(sizes, sets.goal, strict=True))
    ]
    readers = [[entry] for entry in entries] + [entries[::-1]]  # every set is read twice
    flat = FlatGroups.of(readers, 0.1)
    schedule = spp.SPPSchedule(A=0.3, score=score, score_decay=0.5)
    old, new = (
        [random.integers(1, 9, len(places)).astype(np.float32) for places in flat.places]
        for _ in range(2)
    )
    state = State(p, old, np.int64(made), np.int64(0))
    sound = seed % 4 > 0

    def update(namespace, state, new, sound):
        scored = accumulated(schedule, state.scores, new)
        return decide(namespace, schedule, flat, flat.sets, state, scored, sound)

    expected = tf.nest.flatten(update(arrays, state, new, np.bool_(sound)))
    call = functools.partial(update, tf_arrays)
    if mode != "eager":
        call = tf.function(call, jit_compile=mode == "xla")
    found = tf.nest.flatten(call(*tf.nest.map_structure(tf.constant, (state, new, sound))))
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.dtype.as_numpy_dtype == ours.dtype
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=3e-7, err_msg=f"seed {seed}")
        np.testing.assert_array_equal(theirs == 1, ours == 1, f"seed {seed}")
