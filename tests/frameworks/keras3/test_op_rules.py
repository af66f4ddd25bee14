"""Functions of `keras.ops` between two convolutions: their rules alone, without trying them out."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from keras_spp.frameworks.keras3 import labelling
from tests.helpers.both_keras import skipped_where_keras_refuses
from tests.helpers.keras3 import check_exact
from tests.zoo.keras3_models import L, ops, randomize

RANDOM = np.random.default_rng(0)
SQUARE = RANDOM.normal(size=(8, 8)).astype("float32")
EACH = np.linspace(0.5, 2.0, 8).astype("float32")  # a number for each channel
BLUR = RANDOM.uniform(size=(3, 3, 8, 2)).astype("float32")


@pytest.fixture(autouse=True)
def rules_alone(monkeypatch):
    monkeypatch.setattr(labelling, "follow", lambda *_: Reason.FUNCTION)


def between(function, shape=(8, 6)):
    """A network with a function between convolutions; the first one makes eight channels."""
    inputs = keras.Input((*shape, 3))
    x = function(L.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs))
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="second")(x)
    return randomize(keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x))))


KEPT = {
    "argmax": lambda x: x * ops.cast(ops.argmax(x, axis=1, keepdims=True), "float32"),
    "argsort": lambda x: ops.cast(ops.argsort(x, axis=2), "float32"),
    "batch_normalization": lambda x: ops.batch_normalization(
        x, EACH, 2 * EACH, axis=-1, offset=-EACH, scale=EACH
    ),
    "clip": lambda x: ops.clip(x, -EACH, EACH),
    "cumprod": lambda x: ops.cumprod(ops.sigmoid(x), axis=2),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "depthwise": lambda x: ops.depthwise_conv(x, BLUR, padding="same"),
    "diff": lambda x: ops.diff(x, axis=1),
    "einsum_constant": lambda x: ops.einsum("bhwc,hk,c->bkwc", x, SQUARE, EACH),
    "einsum_gate": lambda x: ops.einsum("bhwc,bc->bhwc", x, ops.mean(x, axis=(1, 2))),
    "einsum_open": lambda x: ops.einsum("b...c,bc->b...c", x, ops.max(x, axis=(1, 2))),
    "einsum_sum": lambda x: x * ops.einsum("bhwc->bc", x)[:, None, None] / 48,
    "einsum_turned": lambda x: ops.transpose(ops.einsum("bhwc->bwch", x), (0, 1, 3, 2)),
    "extract_patches": lambda x: ops.image.extract_patches(x, 2),
    "flip": lambda x: ops.flip(ops.flip(x, axis=-1), axis=1),
    "full_like": lambda x: x + ops.full_like(x, EACH),
    "hstack": lambda x: ops.hstack([x, -x]),
    "logic": lambda x: ops.cast(
        ops.bitwise_and(ops.cast(4 * x, "int32"), ops.full_like(x, 6, "int32")), "float32"
    ),
    "matmul": lambda x: ops.matmul(SQUARE[:6, :6], x),
    "moments": lambda x: x * ops.rsqrt(ops.moments(x, (1, 2), keepdims=True)[1] + 0.1),
    "quantile": lambda x: x - ops.quantile(x, 0.5, axis=(1, 2), keepdims=True),
    "repeat": lambda x: ops.repeat(x, np.array([1, 2, 1, 3, 1, 1, 2, 1]), axis=-1),
    "rot90": lambda x: ops.rot90(x, axes=(1, 2)),
    "select": lambda x: ops.select([x > 1.0, x > 0.5], [x, 2 * x], 0.25),
    "sort": lambda x: ops.sort(x, axis=1),
    "take_along_axis": lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    "take_from_the_end": lambda x: ops.take(x, [-1, 0, 1, 2, 3, 4, -3, 6], axis=-1),
    "top_k": lambda x: ops.transpose(ops.top_k(ops.transpose(x, (0, 3, 1, 2)), 4)[0], (0, 2, 3, 1)),
    "triu": lambda x: ops.transpose(ops.triu(ops.transpose(x, (0, 3, 1, 2))), (0, 2, 3, 1)),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_channel_can_go(name):
    model = between(KEPT[name])
    rows = {row.layer: row for row in spp.analyze(model)}
    assert (rows["first"].groups, rows["first"].reason) == (8, None)
    small, groups = check_exact(model)
    assert not groups.coupling.channels.failures
    assert small.get_layer("first").filters < 8


TIED = {
    "glu": lambda x: ops.glu(x, axis=-1),
    "einsum_heads": lambda x: ops.einsum("bhwnc->bhwc", ops.reshape(x, (-1, 8, 6, 2, 4))),
}


@pytest.mark.parametrize("name", TIED)
def test_channels_that_meet_go_together(name):
    model = between(TIED[name])
    assert next(row.groups for row in spp.analyze(model) if row.layer == "first") == 4
    check_exact(model)


FROZEN = {
    "array_split": (
        lambda x: ops.concatenate(ops.array_split(x, 3, axis=-1)[::-1], -1), Reason.SHAPE,
    ),
    "cumsum": (lambda x: ops.cumsum(x, axis=-1), Reason.MIXES),
    "conv": (lambda x: ops.conv(x, BLUR[..., :1].repeat(4, -1), padding="same"), Reason.MIXES),
    "einsum": (lambda x: ops.einsum("bhwc,cd->bhwd", x, SQUARE), Reason.MIXES),
    "einsum_outer": (
        lambda x: ops.einsum("bhwc,bhw->bhwc", x, ops.mean(x, axis=-1)), Reason.MIXES,
    ),
    "layer_normalization": (lambda x: ops.layer_normalization(x, EACH, EACH), Reason.MIXES),
    "matmul": (lambda x: ops.matmul(x, SQUARE), Reason.MIXES),
    "roll": (lambda x: ops.roll(x, 2, axis=-1), Reason.SHAPE),
    "sort": (lambda x: ops.sort(x, axis=-1), Reason.MIXES),
    "top_k": (lambda x: ops.top_k(x, 4)[0], Reason.MIXES),
}  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
def test_channels_that_others_depend_on_stay_with_the_reason(name):
    function, reason = FROZEN[name]
    with skipped_where_keras_refuses("no attribute 'array_split'"):
        model = between(function)
    row = next(row for row in spp.analyze(model) if row.layer == "first")
    assert row.groups == 0 and row.reason.startswith(reason.value)
    check_exact(model)


# -- attention by hand ---------------------------------------------------------------------------


def attend(x, heads, product):
    """Attention written out of functions; queries, keys and values are layers of eight units."""
    query, key, value = (
        ops.reshape(L.Dense(8, name=name)(x), (-1, 5, heads, 8 // heads))
        for name in ("query", "key", "value")
    )
    if product == "einsum":
        scores = ops.softmax(ops.einsum("bthc,bshc->bhts", query, key) / 2.0)
        y = ops.einsum("bhts,bshc->bthc", scores, value)
    elif product == "matmul":
        query, key, value = (ops.transpose(t, (0, 2, 1, 3)) for t in (query, key, value))
        scores = ops.softmax(ops.matmul(query, ops.swapaxes(key, -1, -2)) / 2.0)
        y = ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3))
    else:
        y = ops.dot_product_attention(query, key, value)
    return ops.reshape(y, (-1, 5, 8))


@pytest.mark.parametrize(
    ("product", "heads", "free"),
    [
        ("einsum", 2, {"value"}),
        ("matmul", 2, {"value"}),
        ("dot_product_attention", 2, set()),
        *(
            (product, 4, {"query", "key", "value"})
            for product in ("einsum", "matmul", "dot_product_attention")
        ),
    ],
)
def test_attention_of_functions_loses_channels_of_values_or_whole_heads(product, heads, free):
    inputs = keras.Input((5, 6))
    y = L.Dense(4, name="behind")(attend(inputs, heads, product))
    model = randomize(keras.Model(inputs, L.Dense(3)(y)))
    groups = {row.layer: row.groups for row in spp.analyze(model)}
    assert {name for name in ("query", "key", "value") if groups[name]} == free
    assert groups["value"] == (4 if free else 0)
    check_exact(model)
