from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.channels import Reason
from tests.helpers.slow import slow_but
from tests.helpers.training import sgd
from tests.zoo.awkward import MODELS, OWN, UNLOADABLE, randomized, sample
from tests.zoo.models import random_probabilities

EXACT = 2e-5
HALF = 5e-3  # what float16 resolves, a few roundings later

# All of their channels are inputs, outputs or mixed: there is nothing that may go.
NOTHING = {"one_convolution", "one_channel_everywhere", "one_dense_layer"}

# Most of their MACs are in layers of the user's own, in attention, between normalisations over the
# channels, behind a padding of channels that stand where Permute has put them, or not trained.
BOUND = {
    "attention_tail", "convnext", "convolution_with_another_weight", "frozen_backbone",
    "option_a_with_permute_and_padding", "spectral_normalization", "vision_transformer",
}  # fmt: skip

# Trained in the default run; all others are slow.
QUICK = {
    "siamese", "nested_three_levels", "unet", "option_a_shortcut", "masked_sequence",
    "functional_subclass", "regularizers_and_constraints",
}  # fmt: skip

# TensorFlow has no gradient of a maximum over channels on a CPU.
UNTRAINABLE = {"pooling_over_channels"}

PRUNABLE = [name for name in MODELS if name not in NOTHING]
# A second wrapped and a second small model of each take as long as everything else about it.
UNFINISHED = slow_but(PRUNABLE, PRUNABLE[::8])
TRAINED = slow_but([name for name in PRUNABLE if name not in UNTRAINABLE], QUICK)


def halve(name):
    """A model with random weights and masks, and what shrink makes of it."""
    model = randomized(MODELS[name]())
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    return model, pruned, spp.shrink(pruned)


class Halved(NamedTuple):
    """A model, the same pruned and small, and what `spp.analyze` says of the first and the last."""

    name: str
    model: keras.Model
    pruned: keras.Model
    small: keras.Model
    rows: spp.Analysis
    small_rows: spp.Analysis


@pytest.fixture(scope="module", params=PRUNABLE)
def halved(request):
    """One after the other; the tests of one follow each other."""
    model, pruned, small = halve(request.param)
    return Halved(request.param, model, pruned, small, spp.analyze(model), spp.analyze(small))


def outputs(model, x):
    model.reset_states()
    return [value.numpy().astype("float64") for value in tf.nest.flatten(model(x, training=False))]


def assert_equal(first, second, x):
    """The same outputs, of which none is about the same for all samples."""
    low = any("float16" in str(layer.compute_dtype) for layer in first.layers)
    for a, b in zip(outputs(first, x), outputs(second, x), strict=True):
        assert a.shape == b.shape and np.isfinite(a).all()
        scale = np.abs(a).max()
        assert np.ptp(a, axis=0).max() > 0.01 * scale > 0
        assert np.abs(a - b).max() <= (HALF if low else EXACT) * scale


def check_reasons(model, report):
    """A report whose rows say why a layer keeps channels."""
    assert str(report) and report.macs > 0
    assert report.fixed_size == all(None not in tensor.shape[1:] for tensor in model.inputs)
    closed = tuple(map(str, Reason))
    for row in report:
        assert row.prunable == (row.groups > 0)
        for reason in (row.reason or "").split("; ") if row.reason else ():
            assert reason.startswith(closed), row
        # A layer keeps a channel for ever, so one group alone never goes.
        alone = row.groups < 2 and row.channels not in (1, None)
        assert row.reason or not alone, row


def test_analysis_gives_a_reason_for_everything_that_stays(halved):
    check_reasons(halved.model, halved.rows)


@pytest.mark.parametrize("name", sorted(NOTHING))
def test_a_model_with_nothing_to_prune_is_refused_with_reasons(name):
    model = MODELS[name]()
    check_reasons(model, spp.analyze(model))
    with pytest.raises(ValueError, match=r"has nothing to prune .* says why for each layer"):
        spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert all(row.reason for row in spp.analyze(model))


def test_awkward_models_shrink_exactly(halved):
    _, model, pruned, small, rows, small_rows = halved
    x = sample(model)
    assert_equal(pruned, small, x)
    assert small_rows.macs < rows.macs
    assert len(small.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_awkward_models_shrink_exactly(name):
    model = randomized(MODELS[name]())
    x = sample(model)
    unfinished = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert_equal(model, unfinished, x)
    random_probabilities(unfinished, 1)
    assert_equal(unfinished, spp.shrink(unfinished), x)


def test_a_third_of_the_macs_goes_where_nothing_forbids_it(halved):
    assert halved.name in BOUND or halved.rows.macs / halved.small_rows.macs >= 1.5


@pytest.mark.parametrize("halved", slow_but(PRUNABLE, PRUNABLE[1::4]), indirect=True)
def test_a_pruned_model_shares_no_variable_with_its_original(halved):
    _, model, pruned, small, *_ = halved
    x = sample(model)
    before = [outputs(part, x) for part in (pruned, small)]
    weights = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in weights])
    after = [outputs(part, x) for part in (pruned, small)]
    model.set_weights(weights)
    for a, b in zip(tf.nest.flatten(before), tf.nest.flatten(after), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_called_prunable_goes_and_nothing_else(halved):
    rows = [
        [row for row in part if row.params and row.channels]
        for part in (halved.rows, halved.small_rows)
    ]
    for before, after in zip(*rows, strict=True):
        assert before.layer == after.layer
        assert (after.channels < before.channels) == (before.groups > 1), before


@pytest.mark.parametrize("halved", slow_but(PRUNABLE, PRUNABLE[2::4]), indirect=True)
def test_small_models_save_and_load(halved, tmp_path):
    name, model, _, small, *_ = halved

    def saved_and_loaded(model):
        model.save(tmp_path / "model.keras")
        options = {"custom_objects": OWN.get(name), "compile": False, "safe_mode": False}
        return keras.models.load_model(tmp_path / "model.keras", **options)

    if name in UNLOADABLE:
        with pytest.raises((TypeError, ValueError)):
            saved_and_loaded(model)
    else:
        assert "keras_spp" not in small.to_json()
        assert_equal(small, saved_and_loaded(small), sample(model))


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.filterwarnings("ignore:SPP ", "ignore:shrink")
def test_trained_models_shrink_exactly(name):
    steps, batch = 6, 4
    model = randomized(MODELS[name]())
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1, schedule=schedule)
    x = [sample(model, seed, batch) for seed in range(steps)]
    x = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *x)
    random = np.random.default_rng(0)
    y = tf.nest.map_structure(
        lambda output: random.normal(size=(steps * batch, *output.shape[1:])),
        model(sample(model, 0, batch)),
    )
    before = [weight.numpy() for weight in pruned.trainable_weights]
    pruned.compile(sgd(1e-3), "mse")
    history = pruned.fit(x, y, batch_size=batch, verbose=0, callbacks=[spp.SPPCallback()])
    assert np.isfinite(history.history["loss"]).all()
    assert ("own" in history.history) == (type(pruned).train_step is not keras.Model.train_step)
    after = [weight.numpy() for weight in pruned.trainable_weights]
    assert np.mean([(a != b).any() for a, b in zip(before, after, strict=True)]) > 0.5
    progress = spp.Pruner(pruned).progress()
    assert progress.updates == steps - 1
    assert progress.pruned > 0
    small = spp.shrink(pruned)
    assert_equal(pruned, small, sample(model, 99))
    assert spp.analyze(small).macs < spp.analyze(model).macs


def test_a_training_step_of_the_users_own_is_kept_or_its_loss_is_told():
    assert type(halve("functional_subclass")[1]).__name__ == "Trainer"
    with pytest.warns(UserWarning, match="without the train_step of Classifier"):
        spp.prune(
            MODELS["functional_subclass_with_its_own_constructor"](), pruning_ratio=0.5, round_to=1
        )


@pytest.mark.slow
def test_half_of_the_channels_is_half_of_the_macs_or_less():
    speedups = {}
    for name in PRUNABLE:
        model, _, small = halve(name)
        speedups[name] = spp.analyze(model).macs / spp.analyze(small).macs
    assert np.median(list(speedups.values())) >= 2, speedups
