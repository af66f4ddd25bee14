"""What a training step of a pruned Keras 3 model does to its weights, and inference does not."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core import namespace
from keras_spp.frameworks.keras3 import arrays
from tests.helpers.keras3 import assert_equal
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training_keras3 import (
    BACKEND,
    EachStep,
    compiled,
    conv_net,
    dead_weights,
    dense_net,
    fit,
    masked_twin,
    predicted,
    predicted_groups,
    prune,
    read,
    samples,
    settled,
    spread,
    state,
)
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
optimizers = keras.optimizers


@pytest.mark.parametrize(
    ("net", "granularity"), [(dense_net, "channel"), (conv_net, "channel"), (conv_net, "column")]
)
def test_each_step_computes_with_the_masks_that_the_hash_foretells(net, granularity):
    """The loss of every step is that of the plain network times masks made in NumPy."""
    pruned = compiled(prune(net(), granularity=granularity, frequency=1000))
    settled(pruned, seed=1)
    plain = compiled(net())
    hidden = 0
    for step in range(3):
        x, y = samples(pruned, 4, seed=step)
        groups = {w.name: predicted_groups(w, step) for w in find_wrappers(pruned)}
        before = {w.name: [read(m.weight) for m in w.masked] for w in find_wrappers(pruned)}
        masked_twin(pruned, plain, groups)
        expected = float(plain.train_on_batch(x, y))
        assert float(pruned.train_on_batch(x, y)) == pytest.approx(expected, rel=1e-5)
        for wrapper in find_wrappers(pruned):
            np.testing.assert_array_equal(read(wrapper.drawn), groups[wrapper.name])
            for masked, old in zip(wrapper.masked, before[wrapper.name], strict=True):
                off = spread(masked, groups[wrapper.name]) == 0
                np.testing.assert_array_equal(read(masked.weight)[off], old[off])
                assert (read(masked.weight) != old).any()
                hidden += int((off & (old != 0)).sum())
    assert hidden > 0


OPTIMIZERS = {
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.02),
    "adamw": lambda: optimizers.AdamW(0.02, weight_decay=0.1),
    "lion": lambda: optimizers.Lion(0.01, weight_decay=0.1),
    "adafactor": lambda: optimizers.Adafactor(0.02),
    "average": lambda: optimizers.SGD(
        0.05, momentum=0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3
    ),
    "average at the end": lambda: optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9),
    "accumulated": lambda: optimizers.Adam(0.02, gradient_accumulation_steps=2),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.02), initial_scale=2.0**10),
}


QUICK = ["momentum", "adamw", "average", "accumulated"]


@pytest.mark.parametrize("name", slow_but(OPTIMIZERS, QUICK))
def test_what_is_pruned_is_zero_after_every_step_of_every_optimizer(name):
    pruned = compiled(prune(A=0.6), OPTIMIZERS[name]())
    counts = []

    def look(model):
        dead = dead_weights(model)
        assert not dead.any(), len(counts)
        counts.append(dead.size)

    fit(pruned, 30, [spp.SPPCallback(), EachStep(look)])
    progress = spp.Pruner(pruned).progress()
    steps = 15 if name == "accumulated" else 30
    assert progress.finished and (progress.step, progress.pruned) == (steps, 8)
    assert counts[0] == 0 < counts[-1] and counts == sorted(counts)
    assert not dead_weights(pruned).any()
    x, _ = samples(pruned, 5)
    assert_equal([read(pruned(x, training=False))], [read(spp.shrink(pruned)(x))])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, precision):
    if (BACKEND, policy) == ("torch", "mixed_float16"):
        pytest.skip("Keras' loss scaling in PyTorch needs no test of ours")
    precision(policy)
    pruned = compiled(prune(conv_net(), A=0.6, score="taylor"), "adam")
    fit(pruned, 40, [spp.SPPCallback(), EachStep(lambda m: assert_no_dead(m))])
    assert spp.Pruner(pruned).progress().finished
    wrappers = {wrapper.name: wrapper for wrapper in find_wrappers(pruned)}
    assert wrappers["inner"].compute_dtype == policy.removeprefix("mixed_")
    assert wrappers["head"].compute_dtype == "float32"
    assert all(w.p.dtype == w.masked[0].weight.dtype == "float32" for w in wrappers.values())
    x, _ = samples(pruned, 5)
    assert_equal([read(pruned(x, training=False))], [read(spp.shrink(pruned)(x))], exact=0.02)


def assert_no_dead(model):
    assert not dead_weights(model).any()


@pytest.mark.parametrize("net", [dense_net, conv_net])
def test_inference_uses_the_expected_weights_and_changes_no_variable(net):
    pruned = compiled(prune(net(), frequency=1000))
    settled(pruned, seed=2)
    x, y = samples(pruned, 8)
    pruned.train_on_batch(x, y)
    before = state(pruned)
    expected = {w.name: 1 - read(w.p) for w in find_wrappers(pruned)}
    plain = masked_twin(pruned, net(), expected)
    pruned.evaluate(x, y, verbose=0)
    found = [pruned.predict(x, verbose=0), read(pruned(x, training=False)), read(pruned(x))]
    assert_equal([read(plain(x, training=False))] * 3, found)
    assert_same_state(before, state(pruned))


def test_sampled_evaluation_uses_the_masks_of_the_next_step_until_pruning_is_over():
    pruned = compiled(prune(frequency=1000, evaluation="sampled"))
    settled(pruned, seed=3)
    x, y = samples(pruned, 8)
    for step in (1, 2):
        pruned.train_on_batch(x, y)
        before = state(pruned)
        groups = {w.name: predicted_groups(w, step) for w in find_wrappers(pruned)}
        plain = masked_twin(pruned, dense_net(), groups)
        assert_equal([read(plain(x))], [pruned.predict(x, verbose=0)])
        assert_same_state(before, state(pruned))
    path = keras.models.clone_model(pruned)
    path.set_weights(pruned.get_weights())  # trains no more: the expected network
    plain = masked_twin(pruned, dense_net(), {w.name: 1 - read(w.p) for w in find_wrappers(pruned)})
    assert_equal([read(plain(x))], [path.predict(x, verbose=0)])


def test_sampled_and_expected_evaluation_agree_at_the_end():
    pruned = compiled(prune(evaluation="sampled", A=0.6))
    fit(pruned, 30)
    assert spp.Pruner(pruned).progress().finished
    x, _ = samples(pruned, 8)
    assert_equal([pruned.predict(x, verbose=0)], [read(spp.shrink(pruned)(x))])


def test_a_group_that_is_not_decided_gets_its_weights_back():
    """Weights behind a dropped group stay as they are, so p may fall again without a loss."""
    pruned = compiled(prune(goal=0.25))
    fit(pruned, 30)
    pruner = spp.Pruner(pruned)
    assert pruner.progress().finished and set(pruner.values()) == {0, 1}
    for wrapper in find_wrappers(pruned):
        for masked in wrapper.masked:
            alive = spread(masked, read(wrapper.mask)) > 0
            assert (read(masked.weight)[alive] != 0).all()


def test_the_model_given_to_prune_stays_as_it_was():
    dense = dense_net()
    before = state(dense, optimizer=False)
    pruned = compiled(prune(dense), "adam")
    fit(pruned, 12)
    spp.shrink(pruned)
    assert_same_state(before, state(dense, optimizer=False))


def test_masks_are_the_same_on_every_backend():
    """All agree with NumPy's integers, for p from never to always and at the ends of the ranges."""
    p = np.linspace(0, 1, 101, dtype="float32")
    for seed in (0, 1, 123456789, 2**31 - 1):
        for step in (0, 1, 1000, 2**31 - 1):
            with namespace.use(arrays):
                mask = spp.SPPSchedule().draw(keras.ops.convert_to_tensor(p), seed, step)
            np.testing.assert_array_equal(read(mask), predicted(p, seed, step))
    many = predicted(np.full(100_000, 0.3, "float32"), 5, 6)
    assert abs(many.mean() - 0.7) < 0.005
