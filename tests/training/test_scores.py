import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.variables import host
from tests.helpers.slow import slow_but
from tests.helpers.training import compiled, conv_net, data, fit, predicted_mask, prune, sgd
from tests.zoo.models import L, randomize

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


@keras.saving.register_keras_serializable(package="tests")
def fourth_power(weight):
    return weight**4


def after_one_update(score, **options):
    """Wrappers whose score was taken once, from weights that are random and not trained."""
    pruned = prune(score=score, **options)
    pruner = spp.Pruner(pruned, sgd())
    pruner._optimizer.iterations.assign(1)
    pruned(data(1)[0], training=True)
    return pruner.wrappers


@pytest.mark.parametrize(
    ("score", "of_group"),
    [
        ("l1", lambda w: np.abs(w).sum(0)),
        ("l2", lambda w: np.sqrt((w**2).sum(0))),
        (fourth_power, lambda w: (w**4).sum(0)),
        (tf.square, lambda w: (w**2).sum(0)),
    ],
)
@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_magnitudes_are_summed_in_each_group(score, of_group, granularity):
    for wrapper in after_one_update(score, granularity=granularity):
        kernel = wrapper.masked[0].weight.numpy()
        rows = -1 if granularity == "column" else -2
        weights = np.moveaxis(kernel, rows, 0)  # filters of a column, or channels first
        if granularity == "column":
            weights = weights.reshape(len(weights), -1)
        else:
            weights = weights.reshape(len(weights), -1).T
        np.testing.assert_allclose(wrapper.score, of_group(weights), rtol=1e-4)


def test_scores_below_zero_keep_their_order():
    gone = []
    for score in (tf.abs, lambda weight: -tf.abs(weight)):
        schedule = spp.OneShotSchedule(score=score)
        pruned = compiled(spp.prune(conv_net(), 0.5, round_to=1, schedule=schedule), sgd(0.0))
        fit(pruned, 2)
        gone.append(spp.Pruner(pruned).probabilities().numpy() == 1)
    assert not (gone[0] & gone[1]).any()


def plain_model(pruned):
    """The model without wrappers, to differentiate by hand; pruned and plain layers in pairs."""
    model = conv_net()
    pairs = [(wrapper, model.get_layer(wrapper.name)) for wrapper in spp.Pruner(pruned).wrappers]
    for layer in model.layers:
        twin = pruned.get_layer(layer.name)
        layer.set_weights([host(v) for v in getattr(twin, "layer", twin).weights])
    return model, pairs


def taylor_by_hand(pruned, x, y, step):
    """|sum over the group of weight * gradient of the masked weight|, for each wrapper."""
    model, pairs = plain_model(pruned)
    weights = []
    for wrapper, layer in pairs:
        weights.append(layer.kernel.numpy())
        layer.kernel.assign(layer.kernel * predicted_mask(wrapper, step))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
    gradients = tape.gradient(loss, [layer.kernel for _, layer in pairs])
    products = [w * g.numpy() for w, g in zip(weights, gradients, strict=True)]
    return [np.abs(np.moveaxis(p, -2, 0).reshape(p.shape[-2], -1).sum(1)) for p in products]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_taylor_gathers_what_each_group_would_change_in_every_step(jit_compile):
    pruned = prune(score="taylor", frequency=1000)
    pruner = spp.Pruner(pruned)
    p = np.where(np.arange(len(pruner.probabilities())) % 2, 0.6, 0.2)
    pruner.set_probabilities(p)
    compiled(pruned, sgd(0.0), jit_compile=jit_compile)
    expected: list = [0] * len(pruner.wrappers)
    for step in range(3):
        batch = data(1, seed=step)
        sums = taylor_by_hand(pruned, *batch, step)
        expected = [a + b for a, b in zip(expected, sums, strict=True)]
        pruned.train_on_batch(*batch)
    for wrapper, sums in zip(pruner.wrappers, expected, strict=True):
        # Dropped groups too: nothing but chance makes a sum of weight * gradient zero.
        assert (wrapper.gathered.numpy() > 0).all()
        np.testing.assert_allclose(wrapper.gathered / sums.max(), sums / sums.max(), atol=1e-3)


def test_at_an_update_what_was_gathered_becomes_the_score_and_gathering_starts_again():
    pruned = compiled(prune(score="taylor", frequency=4, score_decay=0.5), sgd(0.0))
    wrapper = spp.Pruner(pruned).conductor

    def train(steps):
        for _ in range(steps):
            before = wrapper.gathered.numpy()
            pruned.train_on_batch(*data(1))
        return before

    train(4)
    first = wrapper.gathered.numpy()
    assert (wrapper.score.numpy() == 0).all() and (first > 0).all()
    train(1)  # its beginning is the update
    np.testing.assert_allclose(wrapper.score, first, rtol=1e-6)
    second = train(4)
    np.testing.assert_allclose(wrapper.score, 0.5 * first + second, rtol=1e-5)


def test_taylor_survives_a_loss_that_overflows():
    policy = keras.mixed_precision.Policy("mixed_float16")
    pruned = prune(conv_net(dtype=policy), score="taylor", frequency=2)
    optimizer = keras.mixed_precision.LossScaleOptimizer(sgd(), initial_scale=2.0**40)
    compiled(pruned, optimizer)
    fit(pruned, 60)
    for wrapper in spp.Pruner(pruned).wrappers:
        assert np.isfinite(wrapper.score).all(), wrapper.name
    assert spp.Pruner(pruned).progress().finished


def test_nothing_is_gathered_for_other_scores_or_without_gradients():
    assert not hasattr(spp.Pruner(prune()).conductor, "gathered")
    pruned = compiled(prune(score="taylor"))
    x, y = data(2)
    pruned.evaluate(x, y, verbose=0)
    pruned.predict(x, verbose=0)
    assert not spp.Pruner(pruned).conductor.gathered.numpy().any()


def residual_net(scale=True):
    x = inputs = keras.Input((6, 6, 3))
    for name in ("stem", "block"):
        y = L.Conv2D(12, 3, padding="same", name=name)(x)
        y = L.BatchNormalization(scale=scale, name=f"{name}_norm")(y)
        x = L.ReLU()(y) if name == "stem" else L.ReLU()(L.Add()([x, y]))
    x = L.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(inputs, L.Dense(4, name="head")(x)))


def test_bn_scale_adds_the_relative_scales_of_all_normalisations_of_a_channel():
    model = residual_net()
    gammas = [model.get_layer(f"{name}_norm").gamma for name in ("stem", "block")]
    total = sum(np.abs(gamma) / np.abs(gamma).mean() for gamma in gammas)
    schedule = spp.OneShotSchedule(score="bn_scale")
    pruned = compiled(spp.prune(model, 0.5, round_to=1, schedule=schedule))
    fit(pruned, 2)
    for wrapper in spp.Pruner(pruned).wrappers:
        gone = np.flatnonzero(wrapper.p.numpy() == 1)
        assert set(gone) == set(np.argsort(total)[:6]), wrapper.name


def test_bn_scale_says_what_it_cannot_score():
    schedule = spp.SPPSchedule(score="bn_scale")
    with pytest.raises(ValueError, match=r"ranks channels but `granularity` is 'column'"):
        spp.prune(residual_net(), 0.5, granularity="column", schedule=schedule)
    with pytest.raises(ValueError, match=r"there is none behind \['stem'\]"):
        spp.prune(residual_net(scale=False), 0.5, round_to=1, schedule=schedule)


def test_a_function_must_keep_the_shape_of_a_weight():
    schedule = spp.SPPSchedule(score=tf.reduce_sum)
    with pytest.raises(ValueError, match=r"`score` must return what each element of a weight"):
        spp.prune(residual_net(), 0.5, round_to=1, schedule=schedule)
    for score in (np.abs, lambda weight: weight > 0, lambda weight: tf.cast(weight, tf.int32)):
        with pytest.raises(ValueError, match=r"`score` must"):
            spp.prune(residual_net(), 0.5, schedule=spp.SPPSchedule(score=score), round_to=1)


@pytest.mark.parametrize(
    "score", slow_but(["l2", "taylor", "bn_scale", fourth_power], ["taylor", fourth_power])
)
def test_a_score_survives_saving_and_training_goes_on(score, tmp_path):
    pruned = compiled(prune(residual_net(), score=score, frequency=2))
    fit(pruned, 5)
    pruned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert spp.Pruner(loaded).schedule.score == score
    for model in (pruned, loaded):
        fit(model, 30, start=5)
    for one, other in zip(pruned.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(host(one), host(other), one.name)
