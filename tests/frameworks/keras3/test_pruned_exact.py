"""A pruned Keras 3 model computes in inference what the shrunk one does, at any time."""

import zipfile

import keras
import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.keras3 import assert_equal
from tests.helpers.training_keras3 import BACKEND, EachStep, dense_net, prune, settled
from tests.helpers.wrappers import find_wrappers
from tests.zoo.keras3_models import STEPS, L, inputs_for, ops, outputs, random_model, randomize
from tests.zoo.keras3_models import step_model as zoo_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:SPP has not met", "ignore:SPP will not reach", "ignore:shrink", "ignore:The structure"
)
JIT = False if BACKEND == "tensorflow" else "auto"
SLOW_SEEDS = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40)]


def check(pruned):
    """Returns the small model."""
    x = inputs_for(pruned)
    small = spp.shrink(pruned)
    assert_equal(outputs(pruned, x), outputs(small, x))
    assert not find_wrappers(small)
    return small


QUICK = [
    "depthwise", "einsum_dense", "grouped", "lstm", "nested", "repeated", "residual", "separable",
    "sequential", "shared", "shuffled", "split", "transposed",
]  # fmt: skip
IN_COLUMNS = ["plain", "grouped", "residual", "sequential"]  # layers with kernels


@pytest.mark.parametrize(
    ("name", "granularity"),
    [
        (name, "channel")
        if name in QUICK
        else pytest.param(name, "channel", marks=pytest.mark.slow)
        for name in STEPS
    ]
    + [(name, "column") for name in IN_COLUMNS],
)
def test_every_kind_of_step_with_random_probabilities(name, granularity):
    pruned = prune(zoo_model(name), granularity=granularity)
    settled(pruned, seed=3)
    check(pruned)


@pytest.mark.parametrize("seed", [*range(4), *SLOW_SEEDS])
def test_random_networks_with_random_probabilities(seed):
    pruned = prune(random_model(seed), goal=0.4)
    settled(pruned, seed)
    check(pruned)


# -- after training ------------------------------------------------------------------------------


def train(pruned, steps, seed=0, optimizer="adam", **options):
    """So many steps on random numbers, whatever inputs and outputs there are."""
    random = np.random.default_rng(seed)
    x = inputs_for(pruned, seed, batch=4 * steps)
    y = [random.normal(size=(4 * steps, *t.shape[1:])).astype("float32") for t in pruned.outputs]
    pruned.compile(optimizer, loss=["mse"] * len(y) if len(y) > 1 else "mse", jit_compile=JIT)
    pruned.fit(
        x, y if len(y) > 1 else y[0], batch_size=4, verbose=0, callbacks=[spp.SPPCallback()],
        **options,
    )  # fmt: skip
    return pruned


def gated():
    """Two inputs; recurrent layers, a gate of functions, a layer called twice, nested models."""
    picture, sequence = keras.Input((6, 6, 2), name="picture"), keras.Input((5, 3), name="sequence")
    block = keras.Sequential([L.Conv2D(8, 3, padding="same"), L.BatchNormalization(), L.ReLU()])
    x = block(picture)
    twice = L.Conv2D(8, 1, activation="tanh", name="twice")
    x = twice(twice(x)) * ops.sigmoid(ops.mean(x, axis=(1, 2), keepdims=True))
    inner = keras.Input((6, 6, 8))
    y = L.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(L.DepthwiseConv2D(3)(inner))
    x = keras.Model(inner, [L.Conv2DTranspose(6, 2)(y), L.GlobalMaxPooling2D()(y)])(x)
    z = L.GRU(6, return_sequences=True)(L.TimeDistributed(L.Dense(7, "relu"))(sequence))
    z = L.LSTM(5)(L.EinsumDense("btc,cd->btd", (5, 6), activation="relu")(z))
    features = ops.concatenate([L.Flatten()(x[0]), x[1], z], axis=-1)
    out = L.Dense(3)(L.Dropout(0.2)(L.Dense(10, "relu")(features)))
    return randomize(keras.Model([picture, sequence], out))


@pytest.mark.parametrize("granularity", ["channel", pytest.param("column", marks=pytest.mark.slow)])
def test_a_network_of_everything_at_any_time_of_its_training(granularity):
    pruned = prune(gated(), granularity=granularity, A=0.25)
    times, seen = [7, 20], []

    def look(model):
        seen.append(1)
        if len(seen) in times:
            check(model)

    random = np.random.default_rng(0)
    x = inputs_for(pruned, 0, batch=80)
    pruned.compile("adam", "mse", jit_compile=JIT)
    y = random.normal(size=(80, 3)).astype("float32")
    callbacks = [spp.SPPCallback(), EachStep(look)]
    pruned.fit(x, y, batch_size=4, verbose=0, callbacks=callbacks)
    progress = spp.Pruner(pruned).progress()
    assert progress.finished and progress.macs_speedup > 1.3
    small = check(pruned)
    if granularity == "channel":
        assert spp.analyze(small).macs * progress.macs_speedup == pytest.approx(
            spp.analyze(pruned).macs, rel=1e-6
        )
        assert small.count_params() < gated().count_params()


@pytest.mark.parametrize(
    "seed", [0, *[pytest.param(s, marks=pytest.mark.slow) for s in range(1, 12)]]
)
def test_random_networks_after_random_numbers_of_steps(seed):
    steps = int(np.random.default_rng(seed).integers(3, 30))
    check(train(prune(random_model(seed), goal=0.4), steps, seed))


def test_a_backbone_that_is_called_for_inference_alone():
    """As for transfer learning: its statistics stay, its weights are trained and pruned."""
    backbone = keras.Sequential([
        keras.Input((4, 4, 3)), L.Conv2D(8, 3), L.BatchNormalization(), L.ReLU(), L.Conv2D(8, 1),
    ])  # fmt: skip
    inputs = keras.Input((4, 4, 3))
    x = L.GlobalAveragePooling2D()(backbone(inputs, training=False))
    pruned = train(prune(randomize(keras.Model(inputs, L.Dense(2)(x)))), 20)
    assert spp.Pruner(pruned).progress().finished
    check(pruned)


def test_a_shrunk_model_is_plain_trains_and_is_pruned_again(tmp_path):
    small = check(train(prune(dense_net(), A=0.5), 15))
    small.save(tmp_path / "small.keras")
    assert b"keras_spp" not in zipfile.ZipFile(tmp_path / "small.keras").read("config.json")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    x = inputs_for(small)
    assert_equal(outputs(small, x), outputs(loaded, x), exact=0)
    smaller = check(train(prune(loaded, goal=0.4, A=0.5), 15))
    assert smaller.count_params() < small.count_params()
    with pytest.raises(ValueError, match=r"finish it with spp\.shrink first"):
        prune(prune(loaded))
