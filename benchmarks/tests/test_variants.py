"""Each variant of benchmarks.accuracy differs from SPP in what it says, and in nothing else."""

import numpy as np
import pytest
import tensorflow as tf

import keras_spp as spp
from benchmarks.accuracy import variants
from keras_spp.core.probability import Sets
from tests.helpers.training import compiled, conv_net, data, fit, prune, sgd
from tests.helpers.wrappers import find_wrappers


def moves(name, updates=40):
    """p before and after each of some updates with fluctuating scores, and the scale."""
    schedule = variants.SCHEDULES[name](A=0.3, scale_survivors=True)
    random = np.random.default_rng(0)
    sets, p = Sets.of([24], [12], 0.1), tf.zeros(24)
    for _ in range(updates):
        before = p.numpy()
        scores = tf.constant(np.arange(24) + random.normal(scale=2, size=24), tf.float32)
        p, scale = schedule.move(p, scores, sets, tf.constant(0))
        yield before, p.numpy(), scale.numpy()


def test_where_p_never_falls():
    assert any((after < before).any() for before, after, _ in moves("spp"))
    for before, after, scale in moves("never_falls"):
        settled = (after == 0) & (scale < 1)
        assert (after >= before)[~settled].all()


def drawing_columns(pruned):
    return variants.PREPARE["independent"](pruned)


@pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
@pytest.mark.slow
def test_where_every_column_draws_its_own_mask():
    pruned = compiled(drawing_columns(prune(conv_net(), frequency=1000)), sgd(0.05))
    pruner = spp.Pruner(pruned)
    pruner.set_probabilities(np.full(len(pruner.probabilities()), 0.5))
    before = {wrapper.name: wrapper.layer.kernel.numpy() for wrapper in pruner.wrappers}
    x = data(2)[0]
    expected = pruned(x, training=False).numpy()
    np.testing.assert_allclose(pruned.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)
    pruned.train_on_batch(*data(1))
    kernel = before["inner"]
    moved = (pruned.get_layer("inner").layer.kernel.numpy() != kernel).any(-1)
    share = moved.mean((0, 1))  # of the columns of each channel
    assert 0.3 < moved.mean() < 0.7 and ((share > 0) & (share < 1)).mean() > 0.9

    pruned = compiled(drawing_columns(prune(conv_net())), sgd())
    fit(pruned, 40)
    assert spp.Pruner(pruned).progress().finished
    small = spp.shrink(pruned)
    np.testing.assert_allclose(small(x), pruned(x, training=False), rtol=1e-4, atol=1e-6)
    assert spp.analyze(small).macs < spp.analyze(conv_net()).macs
    assert find_wrappers(pruned)


def test_where_groups_of_all_layers_are_ranked_together():
    schedule = variants.SCHEDULES["moving"](A=0.2)
    pruned = spp.prune(conv_net(), target_speedup=2.0, schedule=schedule, round_to=1)
    moving = variants.PREPARE["moving"](pruned)
    prices, dense = spp.Pruner(moving).schedule.prices, spp.analyze(conv_net()).macs
    pruner = spp.Pruner(pruned)
    for number, price in enumerate(prices):
        p = np.zeros(len(pruner.sets.of_group))
        p[np.flatnonzero(pruner.sets.of_group == number)[-1]] = 1
        pruner.set_probabilities(p)
        assert price == pytest.approx(dense - dense / pruner.progress().macs_speedup)

    history = fit(compiled(moving, sgd()), 200).history
    progress = spp.Pruner(moving).progress()
    assert progress.finished and 2 <= progress.macs_speedup < 2.6, progress
    assert history["groups_decided"] == [1.0]
    small = spp.shrink(moving)
    assert min(layer.filters for layer in small.layers if hasattr(layer, "filters")) >= 1
    x = data(2)[0]
    np.testing.assert_allclose(small(x), moving(x, training=False), rtol=1e-4, atol=1e-6)


def test_a_score_that_tells_nothing():
    weight = tf.ones((3, 3, 16, 8))
    sums = [variants.at_random(tf.ones((3, 3, size, 8))) for size in (16, 32)]
    order = np.argsort(tf.reduce_sum(variants.at_random(weight), (0, 1, 3)))
    assert (order != np.arange(16)).any()
    np.testing.assert_array_equal(variants.at_random(weight), sums[0])
