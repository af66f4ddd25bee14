"""The state of a pruned model is read without driving it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.training.state import State
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, data, fit, plain_net, prune, sgd
from tests.helpers.training import state as variables
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


@pytest.fixture
def trained():
    pruned = compiled(prune(plain_net(), frequency=2))
    fit(pruned, 9)
    return pruned


def test_it_says_what_the_pruner_says(trained):
    state, pruner = State(trained), spp.Pruner(trained)
    assert state.names == pruner.names and state.frequency() == 2
    assert state.updates == 4 == pruner.progress().updates
    assert state.missing() == pruner.missing() > 0 and not state.finished
    np.testing.assert_array_equal(state.probabilities(), pruner.probabilities())
    np.testing.assert_array_equal(state.dead(), pruner.coupling.dead(pruner.alive()))


@pytest.mark.filterwarnings("ignore:shrink:")
def test_who_reads_does_not_drive(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before, function = variables(loaded), loaded.train_function
    State(loaded)
    small = spp.shrink(loaded)
    small.compile(spp.sliced_optimizer(loaded, small), "mse")
    assert_same_state(variables(loaded), before)
    assert loaded.train_function is function
    assert all(wrapper.driver is None for wrapper in find_wrappers(loaded))
    with pytest.raises(RuntimeError, match="nothing drives its pruning"):
        loaded(data(1)[0], training=True)


def test_a_driver_is_attached_to_all_wrappers(trained):
    first = find_wrappers(trained)[0].driver
    assert all(wrapper.driver is first for wrapper in find_wrappers(trained))
    pruner = spp.Pruner(trained, sgd())
    assert all(wrapper.driver is pruner for wrapper in find_wrappers(trained))


def test_an_optimizer_without_steps_stays_without_state():
    pruned = compiled(prune(plain_net()), keras.optimizers.Adam(0.01))
    with pytest.warns(UserWarning, match="still to be pruned"):
        small = spp.shrink(pruned)
    before = len(pruned.optimizer.variables)
    optimizer = spp.sliced_optimizer(pruned, small)
    assert len(pruned.optimizer.variables) == before < len(optimizer.variables)


def test_a_training_step_that_was_traced_without_a_plan_is_traced_again():
    pruned = compiled(prune(plain_net(), frequency=None))
    with pytest.raises(RuntimeError, match="none was chosen"):
        pruned.train_on_batch(*data(1))
    failed = pruned.train_function
    spp.Pruner(pruned).plan(100)
    assert pruned.train_function is not failed
    pruned.train_on_batch(*data(1))


@keras.saving.register_keras_serializable(package="tests")
class Own(spp.SPPSchedule):
    """A schedule of the user's own: the least important groups alone move, nothing is drawn."""

    def increment(self, rank, to_prune):
        return tf.where(tf.convert_to_tensor(rank) < 1, super().increment(rank, to_prune), 0.0)

    def draw(self, p, seed, step):
        return tf.ones_like(p, bool)


def test_increments_and_draws_can_be_overridden():
    pruned = spp.prune(plain_net(), 0.5, schedule=Own(A=0.25, frequency=1), round_to=1)
    compiled(pruned, sgd(0.0))
    pruner = spp.Pruner(pruned)
    assert pruner.updates_needed() > 4 * 8  # one group after the other
    fit(pruned, 3)
    p = pruner.probabilities().numpy()
    assert sorted(p[p > 0]) == [0.5] * 3  # one of each set
    x, _ = data(1)
    whole = plain_net()
    np.testing.assert_allclose(pruned(x, training=True), whole(x), rtol=1e-5, atol=1e-6)
