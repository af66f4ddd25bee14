"""What a training run may look like, and that pruning does the same in it or says what is wrong."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.states import assert_same_state
from tests.helpers.training import (
    compiled,
    conv_net,
    dense_net,
    fit,
    fit_dense,
    prune,
    pruned_part,
    sgd,
    state,
)
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L, randomize, relative_error

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
optimizers = keras.optimizers


# -- gradient accumulation, training steps of one's own ------------------------------------------


class Accumulating(keras.Model):
    """Steps with the mean gradient of every two batches."""

    def compile(self, *args, **options):
        super().compile(*args, **options)
        self.optimizer.build(self.trainable_variables)
        self.sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.trainable_weights]
        self.batches = tf.Variable(0, trainable=False)

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_weights)
        for sums, gradient in zip(self.sums, gradients, strict=True):
            sums.assign_add(gradient / 2)
        self.batches.assign_add(1)

        def apply():
            given = [tf.identity(sums) for sums in self.sums]
            pairs = zip(given, self.trainable_weights, strict=True)
            self.optimizer.apply_gradients(pairs)
            for sums in self.sums:
                sums.assign(tf.zeros_like(sums))
            return True

        tf.cond(self.batches % 2 == 0, apply, lambda: True)
        return {"loss": loss}


def test_gradient_accumulation_in_fit_prunes_like_batches_of_twice_the_size():
    plain = dense_net()
    pruned = compiled(prune(Accumulating(plain.input, plain.output)), sgd(0.02))
    whole = compiled(prune(dense_net()), sgd(0.02))
    fit_dense(pruned, 16, batch=4)
    fit_dense(whole, 8, batch=8)
    mine, other = (spp.Pruner(model).progress() for model in (pruned, whole))
    assert mine == other and mine.pruned > 0 and (mine.step, mine.updates) == (8, 7)
    for a, b in zip(pruned.trainable_weights, whole.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=a.name)


def test_a_plan_made_before_fit_counts_steps_of_the_optimizer_and_stays():
    """`SPPCallback` can only count batches; two of them make one step here."""
    pruned = compiled(prune(dense_net(), frequency=None))
    spp.Pruner(pruned).plan(steps=1000)
    frequency = int(spp.Pruner(pruned).conductor.frequency)
    spp.Pruner(pruned).plan(steps=2000)  # what the callback would do
    assert int(spp.Pruner(pruned).conductor.frequency) == frequency > 1


class LowRank(L.Dense):
    """A kernel plus a product of two thin matrices, which alone are trained."""

    def build(self, shape):
        super().build(shape)
        self.down = self.add_weight("down", (shape[-1], 2))
        self.up = self.add_weight("up", (2, self.units))

    def call(self, x):
        return self.activation(x @ self.kernel + x @ self.down @ self.up + self.bias)


@spp.rule(LowRank)
def low_rank(call, x):
    layer, labels = call.layer, call.vector(x)
    call.reads(layer.kernel, 0, labels)
    call.reads(layer.down, 0, labels)
    made = call.writes(layer.kernel, 1)
    call.follows(layer.up, 1, made)
    call.follows(layer.bias, 0, made)
    call.costs(layer.kernel, [])
    call.resize("units", [made], lambda keep: int(keep.sum()))
    return call.place(made)


class Tuned(keras.Model):
    """Trains the thin matrices only."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        thin = [v for v in self.trainable_weights if re.search("(up|down):0$", v.name)]
        self.optimizer.apply_gradients(zip(tape.gradient(loss, thin), thin, strict=True))
        return {"loss": loss}


def test_a_training_step_that_trains_thin_matrices_beside_the_kernels():
    layers = [LowRank(10, "tanh", name="a"), LowRank(6, "tanh", name="b"), LowRank(2, name="c")]
    inputs = keras.Input((4,))
    model = randomize(Tuned(inputs, layers[2](layers[1](layers[0](inputs)))))
    pruned = compiled(prune(model), optimizers.Adam(0.02))
    fit_dense(pruned, 40)
    assert spp.Pruner(pruned).progress().finished
    assert not pruned_part(pruned).any() and pruned_part(pruned).size == 5 * (6 + 2) + 3 * (2 + 2)
    for name in "abc":
        old, new = model.get_layer(name), pruned.get_layer(name)
        new = getattr(new, "layer", new)
        np.testing.assert_array_equal(new.bias, old.bias, name)
        assert (new.up.numpy() != old.up.numpy()).any(), name
        # What is not trained is only multiplied: by 0, or at the end by the keep probability.
        factors = new.kernel.numpy() / old.kernel.numpy()
        assert ((factors >= 0) & (factors <= 1)).all(), name
        np.testing.assert_allclose(factors, factors[:, :1] + 0 * factors, rtol=1e-5)
    small = spp.shrink(pruned)
    assert [layer.units for layer in small.layers[1:]] == [5, 3, 2]
    assert relative_error(pruned, small) < 1e-5


# -- layers that are not trained -----------------------------------------------------------------


def kernels(model):
    return {
        layer.name: getattr(layer, "layer", layer).kernel.numpy()
        for layer in model.layers
        if getattr(layer, "kernel", None) is not None or hasattr(layer, "masked")
    }


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_layers_frozen_before_prune_are_left_alone(granularity):
    model = conv_net()
    model.get_layer("last").trainable = False
    reasons = {row.layer: row.reason for row in spp.analyze(model)}
    assert reasons["inner"] == "not trainable (last)" and reasons["last"] == "not trainable"
    pruned = compiled(prune(model, granularity=granularity), optimizers.Adam(0.01))
    assert "last" not in {w.layer.name for w in find_wrappers(pruned)}
    history = fit(pruned, 40).history
    assert history["groups_decided"] == [1.0]
    small, before = spp.shrink(pruned), kernels(model)
    for candidate in (pruned, small):
        np.testing.assert_array_equal(kernels(candidate)["last"], before["last"])
    assert np.count_nonzero(kernels(small)["inner"]) == np.count_nonzero(before["inner"]) / 2


def test_a_model_that_is_frozen_altogether_has_nothing_to_prune():
    model = conv_net()
    model.trainable = False
    with pytest.raises(ValueError, match="has nothing to prune") as error:
        prune(model)
    assert_one_sentence(error)


def test_a_ratio_for_a_frozen_layer_is_refused_with_the_reason():
    model = conv_net()
    model.get_layer("last").trainable = False
    with pytest.raises(ValueError, match=r"names 'last', which cannot be pruned \(not trainable\)"):
        spp.prune(model, {"last": 0.5}, round_to=1)


def test_layers_frozen_after_prune_are_left_alone_until_they_are_trained_again():
    pruned = prune(dense_net())
    pruned.get_layer("b").trainable = False
    compiled(pruned, optimizers.Adam(0.01))
    before = pruned.get_layer("b").layer.get_weights()
    with pytest.warns(UserWarning, match=r"frozen layers read the channels of \['a'\], which are"):
        fit_dense(pruned, 30)
    for old, new in zip(before, pruned.get_layer("b").layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    pruner = spp.Pruner(pruned)
    a, b = np.split(pruner.probabilities(), [10])
    assert not a.any() and sorted(b) == [0, 0, 0, 1, 1, 1]
    pruned.get_layer("b").trainable = True
    compiled(pruned, optimizers.Adam(0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit_dense(pruned, 30)
    assert pruner.progress().finished


# -- one fit after the other ---------------------------------------------------------------------


class StopAfter(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == self.batch


def test_training_that_was_stopped_goes_on_with_fewer_steps_of_another_batch_size():
    """The frequency was chosen for many steps; it is chosen anew for the few that come."""
    pruned = compiled(prune(dense_net(), frequency=None, A=0.5), "adam")
    with pytest.warns(UserWarning, match="SPP has not met its target"):
        fit_dense(pruned, 1000, [spp.SPPCallback(), StopAfter(30)])
    chosen = int(spp.Pruner(pruned).conductor.frequency)
    assert chosen > 1 and spp.Pruner(pruned).progress().updates > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = fit_dense(pruned, 60, batch=6).history
    assert int(spp.Pruner(pruned).conductor.frequency) < chosen
    assert history["groups_decided"] == [1.0]


def test_two_callbacks_in_one_fit_are_refused():
    pruned, one = compiled(prune(dense_net())), spp.SPPCallback()
    before = state(pruned, optimizer=False)
    for other in (one, spp.SPPCallback()):
        with pytest.raises(ValueError, match="`callbacks` must hold one SPPCallback but") as error:
            fit_dense(pruned, 5, [one, other])
        assert_one_sentence(error)
    assert_same_state(before, state(pruned, optimizer=False))
    for _ in range(2):
        history = fit_dense(pruned, 20, [one]).history
    assert history["groups_decided"] == [1.0]


# -- callbacks that watch a metric ---------------------------------------------------------------


def documented():
    """The classes that docs/how-to/training.md shows."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "training.md").read_text()
    (block,) = re.findall(r"```python\n(class AfterPruning:.*?)\n\n\npruned = ", page, re.DOTALL)
    exec(compile(block, "training.md", "exec"), names := {"keras": keras})
    return names


class Worse(keras.callbacks.Callback):
    """A metric that is best at first, worse while pruning lasts, and again at the end."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = {0: 0.0, 10: 1.0}.get(epoch, 2.0 + 0.1 * epoch)
        self.rates = [*getattr(self, "rates", []), float(self.model.optimizer.learning_rate)]


@pytest.mark.parametrize("asleep", [False, True])
def test_callbacks_that_watch_a_metric_sleep_until_pruning_is_over(asleep, tmp_path):
    found = documented() if asleep else vars(keras.callbacks)
    pruned, watch, path = (
        compiled(prune(dense_net(), frequency=7)),
        Worse(),
        str(tmp_path / "best.keras"),
    )
    callbacks = [
        spp.SPPCallback(),
        watch,
        found["ReduceLROnPlateau"](patience=1, factor=0.5),
        found["EarlyStopping"](patience=4, restore_best_weights=True),
        found["ModelCheckpoint"](path, save_best_only=True),
    ]
    decided = fit_dense(pruned, 10, callbacks, epochs=30).history["groups_decided"]
    last, best = spp.Pruner(pruned).missing(), spp.Pruner(keras.models.load_model(path)).missing()
    if not asleep:  # as the page says, all of them do harm
        assert decided[-1] < 1 and last == best == 8 and watch.rates[-1] < watch.rates[0]
    else:
        over = decided.index(1)
        assert 5 < over < 10 and len(decided) == 10 + 4 + 1 and last == best == 0
        assert watch.rates[over] == watch.rates[0] > watch.rates[-1]


# -- precision -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_compiled_by_xla_with_several_steps_per_execution(policy):
    hidden = [L.Dense(n, "tanh", dtype=keras.mixed_precision.Policy(policy)) for n in (16, 8)]
    model = randomize(keras.Sequential([keras.Input((4,)), *hidden, L.Dense(2, dtype="float32")]))
    optimizer = keras.mixed_precision.LossScaleOptimizer(optimizers.Adam(0.01))
    pruned = compiled(prune(model), optimizer, jit_compile=True, steps_per_execution=4)
    assert pruned.output.dtype == tf.float32
    fit_dense(pruned, 40)
    assert spp.Pruner(pruned).progress().finished
    assert not pruned_part(pruned).any() and pruned_part(pruned).size
