import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import TF_KERAS, array, keras, ops
from tests.helpers.random_weights import randomize
from tests.helpers.slow import slow_but
from tests.helpers.training import compiled, conv_net, data, fit, plain_net, prune, sgd

pytestmark = pytest.mark.usefixtures("keras")


def trained(optimizer, model=None, **options):
    pruned = compiled(prune(model or plain_net(), **options), optimizer)
    fit(pruned, 40)
    return pruned


def assert_they_learn_alike(pruned, small, steps):
    for step in range(steps):
        for model in (pruned, small):
            model.train_on_batch(*data(1, seed=step))
    x = data(4, seed=9)[0]
    found, expected = array(small(x)), array(pruned(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


def scaled_loss(optimizer):
    if keras.__name__ == "keras":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return keras.mixed_precision.LossScaleOptimizer(optimizer)


def rate():
    return keras.optimizers.schedules.CosineDecay(0.02, 60)


OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(rate(), momentum=0.9, nesterov=True),
    "Adam": lambda: keras.optimizers.Adam(rate(), amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.001, momentum=0.5, centered=True),
    "averaging": lambda: keras.optimizers.Adam(0.001, use_ema=True, ema_momentum=0.9),
    "Nadam": lambda: keras.optimizers.Nadam(0.001),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "Lion": lambda: keras.optimizers.Lion(0.001),
    "scaled loss": lambda: scaled_loss(keras.optimizers.SGD(0.01, momentum=0.9)),
}


@pytest.mark.parametrize("name", slow_but(OPTIMIZERS, ["Adam", "averaging", "scaled loss"]))
def test_training_goes_on_as_if_nothing_had_been_removed(name):
    """Dead channels learn nothing, so the small model's steps are those of the pruned one."""
    pruned = trained(OPTIMIZERS[name]())
    small = spp.shrink(pruned)
    small.compile(spp.sliced_optimizer(pruned, small), "mse")
    assert int(small.optimizer.iterations) == 40
    assert_they_learn_alike(pruned, small, steps=5)


def test_columns_too():
    pruned = trained(sgd(0.01, momentum=0.9), granularity="column")
    small = spp.shrink(pruned)
    small.compile(spp.sliced_optimizer(pruned, small), "mse")
    for model in (pruned, small):
        model.train_on_batch(*data(1, seed=7))
    again = spp.shrink(pruned)
    for mine, other in zip(small.trainable_weights, again.trainable_weights, strict=True):
        kept = array(other) != 0  # pruned columns of the small model are free to move again
        np.testing.assert_allclose(array(mine)[kept], array(other)[kept], rtol=2e-4, atol=1e-6)


def test_with_normalisation_frozen_layers_and_a_loaded_small_model(tmp_path):
    model = conv_net()
    model.get_layer("last").trainable = False
    pruned = trained(sgd(0.01, momentum=0.9), model)
    spp.shrink(pruned).save(tmp_path / "small.keras")
    small = keras.models.load_model(tmp_path / "small.keras")
    small.compile(spp.sliced_optimizer(pruned, small), "mse")
    assert_they_learn_alike(pruned, small, steps=3)


def warm_up():
    """A schedule of the user's own, without a config."""

    class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.01 * ops.minimum(1.0, ops.cast(step + 1, "float32") / 50)

    return WarmUp()


@pytest.mark.parametrize("scaled", [False, True])
def test_what_is_spared_from_weight_decay_and_a_schedule_of_ones_own_go_along(scaled):
    model = plain_net()
    optimizer = keras.optimizers.AdamW(warm_up(), weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    if scaled:
        optimizer = scaled_loss(optimizer)
    pruned = trained(optimizer, model)
    small = spp.shrink(pruned)
    small.compile(spp.sliced_optimizer(pruned, small), "mse")
    assert_they_learn_alike(pruned, small, steps=4)


def test_an_optimizer_that_has_made_no_step_yet():
    pruned = compiled(prune(), keras.optimizers.Adam(0.01))
    small = spp.shrink(pruned)
    optimizer = spp.sliced_optimizer(pruned, small)
    assert int(optimizer.iterations) == 0


def test_what_it_cannot_slice_it_says():
    pruned = trained(keras.optimizers.Adafactor(0.01))
    with pytest.raises(ValueError, match="Adafactor, whose moments have other shapes"):
        spp.sliced_optimizer(pruned, spp.shrink(pruned))


@TF_KERAS
def test_an_optimizer_of_another_kind_is_refused():
    pruned = trained(keras.optimizers.legacy.Adam(0.01))
    with pytest.raises(TypeError, match=r"`pruned` must be compiled with an optimizer of keras"):
        spp.sliced_optimizer(pruned, spp.shrink(pruned))


@TF_KERAS  # Keras 3 keeps states in lists of its own making alone
def test_state_that_is_kept_otherwise_is_not_lost_silently():
    class Velocities(keras.optimizers.Optimizer):
        """Momentum, kept by the names of the variables."""

        def __init__(self):
            super().__init__("velocities")
            self._learning_rate = self._build_learning_rate(0.01)

        def build(self, variables):
            super().build(variables)
            if not hasattr(self, "of"):
                self.of = {
                    each.name: self.add_variable_from_reference(each, "v") for each in variables
                }

        def update_step(self, gradient, variable):
            velocity = self.of[variable.name]
            velocity.assign(0.9 * velocity + gradient)
            variable.assign_sub(self._learning_rate * velocity)

        def get_config(self):
            return {}

    pruned = trained(Velocities())
    with pytest.raises(ValueError, match=r"Velocities, that does not keep \[.*new optimizer"):
        spp.sliced_optimizer(pruned, spp.shrink(pruned))


def test_other_layers_trainable_than_were_trained():
    model = conv_net()
    model.get_layer("inner").trainable = False
    pruned = trained(keras.optimizers.Adam(0.01), model)
    pruned.get_layer("inner").trainable = True
    small = spp.shrink(pruned)
    with pytest.raises(ValueError, match="`pruned` must have been trained with the layers that"):
        spp.sliced_optimizer(pruned, small)
    small.get_layer("head").trainable = False
    with pytest.raises(ValueError, match="trainable that are so in `pruned` but 'head' differs"):
        spp.sliced_optimizer(pruned, small)


def test_models_that_do_not_belong_together():
    pruned = prune()
    with pytest.raises(ValueError, match=r"`pruned` must be compiled but has no optimizer"):
        spp.sliced_optimizer(pruned, conv_net())
    compiled(pruned)
    with pytest.raises(ValueError, match=r"`small` must be what spp.shrink\(pruned\) returned"):
        spp.sliced_optimizer(pruned, keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"`small` must be what spp.shrink\(pruned\) returned"):
        spp.sliced_optimizer(trained(sgd(0.01, momentum=0.9)), plain_net())  # the dense one
    with pytest.raises(TypeError, match="`small` must be a Keras model"):
        spp.sliced_optimizer(pruned, None)
    dense = compiled(randomize(conv_net()))
    with pytest.raises(ValueError, match=r"is not a model that spp.prune returned"):
        spp.sliced_optimizer(dense, conv_net())
