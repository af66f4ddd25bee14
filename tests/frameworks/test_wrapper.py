import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.sparsity.keras import (
    pruning_wrapper,
)

import keras_spp as spp
from keras_spp.frameworks.tf_keras.variables import raw
from keras_spp.frameworks.tf_keras.wrapper import KeepPruned, unwrap
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training import (
    compiled,
    conv_net,
    data,
    fit,
    predicted_mask,
    prune,
    pruned_part_is_zero,
    settled,
    sgd,
    state,
)
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L, randomize, relative_error

sparsity = tfmot.sparsity.keras
pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


@pytest.fixture
def precision():
    """Sets the global precision for one test."""
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy("float32")


def test_tfmot_finds_every_wrapper():
    pruned = prune()
    found = pruning_wrapper.collect_prunable_layers(pruned)
    assert [layer.name for layer in found] == [
        "inner",
        "last",
        "head",
    ]
    assert found == find_wrappers(pruned)
    assert [unwrap(layer).name for layer in found] == ["inner", "last", "head"]


def test_strip_pruning_gives_plain_layers_with_the_same_predictions_once_pruning_is_over():
    pruned = compiled(prune())
    fit(pruned, 40)
    assert spp.Pruner(pruned).progress().finished
    x, _ = data(2)
    expected = pruned.predict(x, verbose=0)
    stripped = sparsity.strip_pruning(pruned)
    for layer, original in zip(stripped.layers, conv_net().layers, strict=True):
        assert (type(layer), layer.name) == (type(original), original.name)
    np.testing.assert_array_equal(stripped.predict(x, verbose=0), expected)


def test_a_stripped_model_loads_without_custom_objects_and_keeps_its_zeros_in_training(tmp_path):
    pruned = compiled(prune())
    fit(pruned, 40)
    stripped = compiled(sparsity.strip_pruning(pruned), keras.optimizers.Adam(0.1))
    stripped.fit(*data(5), verbose=0)
    assert pruned_part_is_zero(pruned)  # they share their variables
    stripped.save(tmp_path / "stripped.keras")
    text = stripped.to_json()
    assert "keras_spp" not in text and "prun" not in text
    assert relative_error(stripped, keras.models.load_model(tmp_path / "stripped.keras")) == 0


@pytest.mark.parametrize("first", [True, False])
def test_update_pruning_step_beside_our_callback_changes_nothing(first):
    alone, both = compiled(prune(), "adam"), compiled(prune(), "adam")
    fit(alone, 12, epochs=2)
    callbacks = [spp.SPPCallback(), sparsity.UpdatePruningStep()]
    fit(both, 12, callbacks[:: 1 if first else -1], epochs=2)
    assert_same_state(state(alone), state(both))


def test_pruning_summaries_log_the_share_of_pruned_groups(tmp_path, monkeypatch):
    logged = {}
    for module in (tf.summary, tf.compat.v2.summary):  # tfmot's and Keras'; TensorBoard may lack
        monkeypatch.setattr(
            module, "scalar", lambda name, data, step=None: logged.setdefault(name, []).append(data)
        )
    pruned = compiled(prune(goal=0.25))
    fit(pruned, 40, [spp.SPPCallback(), sparsity.PruningSummaries(str(tmp_path))], epochs=2)
    for name in ("inner", "last", "head"):
        assert logged[f"{name}/mask:0/sparsity"] == [0, 0.25]
        assert logged[f"{name}/threshold:0/threshold"] == [1, 1]


def test_stock_wrappers_and_ours_do_not_mix_silently():
    with pytest.raises(ValueError, match="is pruned already"):
        spp.prune(
            sparsity.prune_low_magnitude(keras.Sequential([keras.Input((3,)), L.Dense(8)])), 0.5
        )


# -- masks in a training step --------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_weights_behind_a_sampled_0_are_bit_identical_after_a_plain_sgd_step(granularity):
    pruned = compiled(prune(granularity=granularity, frequency=1000), sgd(0.1))
    settled(pruned, seed=1)
    for step, batch in enumerate(range(0, 12, 4)):
        x, y = (array[batch : batch + 4] for array in data(3))
        masks = {w.name: predicted_mask(w, step) for w in find_wrappers(pruned)}
        before = {w.name: w.masked[0].weight.numpy() for w in find_wrappers(pruned)}
        pruned.train_on_batch(x, y)
        for wrapper in find_wrappers(pruned):
            mask, old = masks[wrapper.name], before[wrapper.name]
            new = wrapper.masked[0].weight.numpy()
            where = f"{wrapper.name}, step {step}, probabilities of seed 1"
            assert 0.1 < mask.mean() < 0.95, where
            np.testing.assert_array_equal(new[~mask], old[~mask], where)
            assert (new[mask] != old[mask]).mean() > 0.2, where


def test_a_training_step_computes_with_the_masked_weights_and_inference_with_the_expected():
    pruned = compiled(prune(frequency=1000))
    settled(pruned, seed=2)
    reference, x = conv_net(), data(1)[0]
    for training in (True, False):
        for layer in reference.layers:
            found = [w for w in find_wrappers(pruned) if w.layer.name == layer.name]
            source = found[0].layer if found else pruned.get_layer(layer.name)
            layer.set_weights(source.get_weights())
            for wrapper in found:
                (masked,) = wrapper.masked
                expected = masked.spread(wrapper.expected())
                mask = predicted_mask(wrapper, 0) if training else expected
                layer.kernel.assign(masked.weight * tf.cast(mask, tf.float32))
        expected = reference(x, training=training)
        np.testing.assert_allclose(pruned(x, training=training), expected, rtol=1e-5, atol=1e-6)


READERS = {
    "Conv1D": lambda: L.Conv1D(4, 3),
    "Conv1DTranspose": lambda: L.Conv1DTranspose(4, 3),
    "SeparableConv1D": lambda: L.SeparableConv1D(4, 3, depth_multiplier=2),
    "Conv2D, groups": lambda: L.Conv2D(4, 3, groups=2),
    "Conv2DTranspose": lambda: L.Conv2DTranspose(4, 3, strides=2),
    "SeparableConv2D": lambda: L.SeparableConv2D(4, 3),
    "Conv3D": lambda: L.Conv3D(4, 3),
    "Conv3DTranspose": lambda: L.Conv3DTranspose(4, 3),
    "Dense": lambda: L.Dense(4),
}


@pytest.mark.parametrize(
    "kind",
    slow_but(READERS, ["Conv1D", "Conv2D, groups", "SeparableConv2D", "Conv3DTranspose", "Dense"]),
)
def test_every_kind_of_layer_that_reads_channels_is_masked_and_stays_zero(kind):
    reader = READERS[kind]()
    rank = int((re.search(r"\d", kind) or "2")[0])
    x = inputs = keras.Input((4,) * rank + (3,))
    x = L.Dense(8, activation="relu", name="stem")(x)
    x = L.Flatten()(reader(x))
    model = randomize(keras.Model(inputs, L.Dense(4)(x)))
    random = np.random.default_rng(0)
    x = random.normal(size=(4, *inputs.shape[1:])).astype("float32")
    y = random.normal(size=(4, 4)).astype("float32")

    pruned = compiled(prune(model, frequency=1000), sgd(0.1))
    settled(pruned, seed=5)
    wrapper = find_wrappers(pruned)[0]
    assert wrapper.layer.name == reader.name
    mask, before = predicted_mask(wrapper, 0), wrapper.masked[0].weight.numpy()
    assert 0 < mask.mean() < 1
    pruned.train_on_batch(x, y)
    np.testing.assert_array_equal(wrapper.masked[0].weight.numpy()[~mask], before[~mask], kind)
    assert (wrapper.masked[0].weight.numpy()[mask] != before[mask]).any()

    pruned = compiled(prune(model), keras.optimizers.Adam(0.01))
    for _ in range(30):
        pruned.train_on_batch(x, y)
    assert spp.Pruner(pruned).progress().finished and pruned_part_is_zero(pruned)
    assert relative_error(pruned, spp.shrink(pruned)) < 1e-5


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.02),
    "adamw": lambda: keras.optimizers.AdamW(0.02, weight_decay=0.1),
    "sgd_decay": lambda: keras.optimizers.SGD(0.05, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.02, momentum=0.5),
    "ema": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=None),
    "legacy": lambda: keras.optimizers.legacy.SGD(0.05, momentum=0.9),
}


@pytest.mark.parametrize("name", slow_but(OPTIMIZERS, ["momentum", "adamw", "ema", "legacy"]))
def test_a_pruned_group_is_zero_for_ever(name):
    model = conv_net(kernel_regularizer=keras.regularizers.L2(0.01))
    pruned = compiled(prune(model), OPTIMIZERS[name](), run_eagerly=False)

    class Check(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            died = any(w.mask.numpy().min() == 0 for w in find_wrappers(pruned))
            if died:
                self.steps += 1
                assert pruned_part_is_zero(pruned), f"step {batch}"

    check = Check()
    fit(pruned, 30, [check, spp.SPPCallback()])
    assert check.steps > 5
    assert spp.Pruner(pruned).progress().pruned > 0
    assert pruned_part_is_zero(pruned)


def test_moving_averages_written_at_an_epochs_end_do_not_bring_pruned_weights_back():
    pruned = compiled(prune(), keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.99))
    fit(pruned, 30)
    assert pruned_part_is_zero(pruned)


def test_the_users_own_constraint_still_applies_and_survives_in_the_config(tmp_path):
    model = conv_net(kernel_constraint=keras.constraints.MaxNorm(0.05, axis=[0, 1, 2]))
    pruned = compiled(prune(model), sgd(0.1, momentum=0.9))
    fit(pruned, 30)
    pruned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for candidate in (pruned, loaded):
        layer = find_wrappers(candidate)[0].layer
        assert type(layer.kernel_constraint) is keras.constraints.MaxNorm
        assert layer.kernel_constraint.max_value == 0.05
        assert isinstance(layer.kernel.constraint, KeepPruned)
    norms = np.sqrt((find_wrappers(pruned)[0].masked[0].weight.numpy() ** 2).sum((0, 1, 2)))
    assert 0 < norms.max() <= 0.05 * (1 + 1e-5)
    assert pruned_part_is_zero(pruned)


def test_a_layer_of_the_users_own_with_a_rule_is_pruned_and_stays_zero():
    class Mix(L.Layer):
        def build(self, shape):
            self.matrix = self.add_weight("matrix", (shape[-1], 4))

        def call(self, x):
            return x @ self.matrix

    @spp.rule(Mix)
    def mix(call, x):
        call.reads(call.layer.matrix, 0, call.vector(x))
        return call.place(call.writes(call.layer.matrix, 1))

    x = inputs = keras.Input((6, 6, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(16, 3)(x))
    pruned = prune(randomize(keras.Model(inputs, Mix(name="mix")(x))))
    compiled(pruned, keras.optimizers.Adam(0.1))
    fit(pruned, 40)
    (wrapper,) = find_wrappers(pruned)
    assert (wrapper.layer.name, wrapper.masked[0].config()["path"]) == ("mix", "matrix")
    assert spp.Pruner(pruned).progress().finished and pruned_part_is_zero(pruned)


def test_predict_and_evaluate_change_no_variable():
    pruned = compiled(prune(frequency=1), "adam")
    fit(pruned, 6)
    before = state(pruned)
    x, y = data(3)
    outputs = pruned.predict(x, verbose=0)
    pruned.evaluate(x, y, verbose=0)
    pruned(x, training=False)
    assert_same_state(before, state(pruned))
    np.testing.assert_array_equal(outputs, pruned.predict(x, verbose=0))


def test_layers_are_wrapped_with_few_variables_of_their_own():
    pruned = prune()
    groups = {entry["name"]: entry["size"] for w in find_wrappers(pruned) for entry in w.sets}
    assert groups == {"stem": 16, "inner": 12, "last": 8}
    sizes = sum(int(np.prod(v.shape)) for v in pruned.weights)
    assert sizes - conv_net().count_params() <= 3 * 36 + 20
    assert len(pruned.trainable_weights) == len(conv_net().trainable_weights)


# -- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_with_a_float32_head_prunes(policy, precision, tmp_path):
    precision(policy)
    pruned = compiled(prune(), keras.optimizers.Adam(0.01))
    assert [w.compute_dtype for w in find_wrappers(pruned)] == [policy[6:], policy[6:], "float32"]
    assert pruned.output.dtype == tf.float32
    fit(pruned, 40)
    assert spp.Pruner(pruned).progress().finished
    assert pruned_part_is_zero(pruned)
    for wrapper in find_wrappers(pruned):
        assert {v.dtype for v in (wrapper.p, wrapper.mask, wrapper.score)} == {tf.float32}
        assert np.isfinite(raw(wrapper.masked[0].weight).numpy()).all()
    pruned.save(tmp_path / "mixed.keras")
    assert_same_state(state(pruned), state(keras.models.load_model(tmp_path / "mixed.keras")))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_leaves_weights_behind_a_sampled_0_alone(policy, precision):
    precision(policy)
    pruned = compiled(prune(frequency=1000), sgd(0.1))
    settled(pruned, seed=1)
    masks = {w.name: predicted_mask(w, 0) for w in find_wrappers(pruned)}
    before = {w.name: raw(w.masked[0].weight).numpy() for w in find_wrappers(pruned)}
    pruned.train_on_batch(*data(1))
    for wrapper in find_wrappers(pruned):
        mask, new = masks[wrapper.name], raw(wrapper.masked[0].weight).numpy()
        np.testing.assert_array_equal(new[~mask], before[wrapper.name][~mask], wrapper.name)


def test_a_float64_model_prunes(precision):
    precision("float64")
    pruned = compiled(prune())
    fit(pruned, 40)
    assert find_wrappers(pruned)[0].masked[0].weight.dtype == tf.float64
    assert spp.Pruner(pruned).progress().finished and pruned_part_is_zero(pruned)
