"""Every equation that EinsumDense takes: what its axes say of channels, and that it is exact."""

import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from keras_spp.rules.einsum import _parse
from tests.helpers.both_keras import L, keras, later, made
from tests.helpers.compared import relative_error
from tests.helpers.random_weights import random_probabilities, randomize
from tests.helpers.slow import slow_but

pytestmark = pytest.mark.usefixtures("keras")


def between(*layers, shape=(6, 5)):
    """Layers between a dense one and another one."""
    x = y = keras.Input(shape)
    for layer in (L.Dense(8, name="first"), *layers, L.Dense(6, name="next"), L.Dense(3)):
        y = layer(y)
    return keras.Model(x, y)


def halved(model):
    """The model, pruned by half and shrunk; exactly, and with fewer MACs."""
    pruned = spp.prune(randomize(model), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    assert spp.analyze(small).macs < spp.analyze(model).macs
    return small


# Equation, output_shape, bias_axes, and the shape of the kernel when half of the channels is left.
READ = [
    ("abc,cd->abd", (None, 8), "d", (4, 4)),
    ("abc,dc->abd", (6, 8), None, (4, 4)),
    ("abc,cd->adb", (8, 6), "d", (4, 4)),
    ("...x,xy->...y", 8, "y", (4, 4)),
    ("...x,xyz->...yz", (2, 8), "yz", (4, 2, 4)),
    ("abc,cde->abde", (None, 2, 8), "de", (4, 2, 4)),
    ("abc,cde->abde", (6, 8, 2), "bd", (4, 8, 1)),
    ("abc,ced->abed", (None, 3, 8), "ed", (4, 3, 4)),
    ("abc,bcd->abd", (6, 8), "bd", (6, 4, 4)),
    ("abc,bcd->ad", (8,), "d", (6, 4, 4)),
    ("abc,c->abc", (None, 8), "c", (4,)),
    ("abc,bd->adc", (7, 8), "d", (6, 7)),
]


@pytest.mark.parametrize(("equation", "shape", "bias", "left"), READ)
def test_the_kernel_loses_what_its_equation_reads_and_makes(equation, shape, bias, left):
    layer = L.EinsumDense(equation, shape, bias_axes=bias, activation="relu", name="einsum")
    behind = [L.Permute((2, 1))] if equation.endswith("adb") else []
    small = halved(between(layer, *behind))
    assert tuple(small.get_layer("einsum").kernel.shape) == left


def test_an_ellipsis_on_the_right_keeps_the_channels_behind_it():
    x = keras.Input((4, 4, 3))
    y = L.EinsumDense("ab...,bc->ac...", (5,), bias_axes="c")(L.Conv2D(8, 1, name="first")(x))
    small = halved(keras.Model(x, L.Dense(3)(L.Conv2D(6, 1)(y))))
    assert small.get_layer("first").filters == 4


def test_several_axes_that_are_made_are_read_by_the_next_equation():
    heads = L.EinsumDense("abc,cde->abde", (None, 2, 8), name="heads")
    joined = L.EinsumDense("abde,def->abf", (None, 8), bias_axes="f", name="joined")
    small = halved(between(heads, joined))
    assert tuple(small.get_layer("heads").kernel.shape) == (4, 2, 4)
    assert tuple(small.get_layer("joined").kernel.shape) == (2, 4, 4)


def test_macs_are_those_of_the_equation():
    rows = {row.layer: row.macs for row in spp.analyze(between(
        L.EinsumDense("abc,cde->abde", (None, 2, 8), name="heads"),
        L.EinsumDense("abde,def->abf", (None, 8), name="joined"),
    ))}  # fmt: skip
    assert rows["heads"] == rows["joined"] == 6 * 8 * 2 * 8


def test_a_shared_layer_reads_the_same_channels_twice():
    x = keras.Input((6, 5))
    shared = L.EinsumDense("abc,cd->abd", (None, 8), name="shared")
    y = L.Add()([shared(L.Dense(8)(x)), shared(L.Dense(8)(x))])
    assert tuple(halved(keras.Model(x, L.Dense(3)(y))).get_layer("shared").kernel.shape) == (4, 4)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (later.EinsumDense("abc,bd->ad", (8,)), Reason.MIXES),  # the channels are summed up
        (later.EinsumDense("abc,cd->bad", (6, 8)), Reason.UNKNOWN),  # batch and steps change places
    ],
    ids=["summed", "batch moved"],
)
def test_what_keeps_no_channels_apart_is_frozen(layer, reason):
    x = keras.Input(batch_shape=(6, 6, 5))
    y = L.Dense(3)(made(layer)(L.Dense(8, name="first")(L.Dense(8)(x))))
    row = {row.layer: row for row in spp.analyze(keras.Model(x, y))}["first"]
    assert not row.prunable and row.reason.startswith(reason)


def test_channels_behind_a_softmax_are_frozen():
    layer = L.EinsumDense("abc,cd->abd", (6, 8), activation="softmax", name="einsum")
    rows = {row.layer: row for row in spp.analyze(between(layer))}
    assert rows["einsum"].reason == Reason.MIXES and rows["first"].prunable


@pytest.mark.parametrize("seed", slow_but(range(12), range(6)))
def test_random_equations_shrink_exactly(seed):
    random = np.random.default_rng(seed)
    rank = int(random.integers(2, 5))
    read = "abcd"[:rank]
    summed = sorted(random.permutation(list(read[1:]))[: random.integers(1, rank)])
    new = list("xy")[: random.integers(1, 3)]
    kept = [name for name in read[1:] if name not in summed]
    within = [name for name in kept if random.integers(2)]
    kernel = "".join(random.permutation([*summed, *new, *within]))
    made = "".join(random.permutation([*kept, *new]))
    # No two alike, halved or not: Keras 3 on TensorFlow adds a bias to the last axis, or to the
    # second, whichever is as long, if it has one axis alone that is longer than 1.
    sizes = dict(zip("abcdxy", (None, 13, 7, 9, 6, 10), strict=True))
    sizes[read[-1]] = 8
    bias = "".join(name for name in made if random.integers(2)) or None
    equation, shape = f"{read},{kernel}->a{made}", tuple(sizes[name] for name in made)
    case = f"seed {seed}: {equation} {shape} {bias}"
    x = keras.Input((*(sizes[name] for name in read[1:-1]), 7))
    y = L.EinsumDense(equation, shape, bias_axes=bias, activation="tanh")(L.Dense(8)(x))
    model = randomize(keras.Model(x, L.Dense(3)(L.Dense(6)(y))))
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, seed, settled=True)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5, case
    assert spp.analyze(small).macs < spp.analyze(model).macs, case


def test_an_equation_that_names_an_axis_twice_is_not_followed():
    assert _parse("abb,bc->abc", 3) is None
    assert _parse("abc,ad->abd", 3) is None
