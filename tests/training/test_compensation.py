"""Compensation in the middle of training."""

import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras import optimizer_state
from keras_spp.frameworks.tf_keras.variables import host
from tests.helpers.slow import slow_but
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, conv_net, data, fit, prune, sgd, state
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L, randomize

IMAGES = data(16, seed=1)[0]


class Watch(keras.callbacks.Callback):
    """What is finished when each step ends, and the state when the first that finds it so does."""

    def __init__(self):
        super().__init__()
        self.finished, self.decided = [], None

    def on_train_batch_end(self, batch, logs=None):
        pruner = spp.Pruner(self.model)
        self.finished.append(pruner.progress().finished)
        if self.finished[-1] and self.decided is None:
            self.decided = [
                (variable, host(variable))
                for variable in [*self.model.weights, *self.model.optimizer.variables]
            ]


def callback(original, **options):
    return spp.SPPCallback(original=original, representative_data=IMAGES, **options)


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_training_goes_on_from_what_compensate_makes_when_the_last_group_is_decided(granularity):
    dense = conv_net()
    expected = compiled(prune(dense, granularity=granularity), sgd(momentum=0.9))
    fit(expected, 60, [spp.SPPCallback(), watch := Watch()])
    for variable, value in watch.decided:
        variable.assign(value)
    spp.compensate(expected, dense, IMAGES)
    steps = watch.finished.index(True) + 1
    fit(expected, 60 - steps, start=steps)

    pruned = compiled(prune(dense, granularity=granularity), sgd(momentum=0.9))
    fit(pruned, 60, [callback(dense)])
    assert 5 < steps < 40
    assert host(find_wrappers(pruned)[0].finished) == 2

    def without_finished(model):
        return [(name, value) for name, value in state(model) if "finished" not in name]

    assert_same_state(without_finished(pruned), without_finished(expected), rtol=1e-5, atol=1e-6)
    fit(plain := compiled(prune(dense, granularity=granularity), sgd(momentum=0.9)), 60)
    kernels = [model.get_layer("inner").layer.kernel.numpy() for model in (pruned, plain)]
    assert abs(kernels[0] - kernels[1]).max() > 1e-3


@pytest.mark.filterwarnings("ignore:SPP will not reach")
def test_a_last_group_that_the_last_step_decides_is_made_up_for_too():
    dense = conv_net()
    fit(compiled(pruned := prune(dense)), 40, [callback(dense), watch := Watch()])
    last = watch.finished.index(True) + 1
    fit(compiled(again := prune(dense)), last, [callback(dense)])
    small = spp.shrink(again)
    fit(compiled(plain := prune(dense)), last)
    wanted = dense.predict(IMAGES, verbose=0)
    losses = [
        np.square(spp.shrink(model).predict(IMAGES, verbose=0) - wanted).mean()
        for model in (again, plain)
    ]
    assert losses[0] < 0.9 * losses[1]
    assert host(find_wrappers(again)[0].finished) == 2 and host(find_wrappers(pruned)[0].finished)
    assert [layer.name for layer in small.layers] == [layer.name for layer in dense.layers]


def test_a_second_fit_does_not_compensate_again():
    dense = conv_net()
    fit(compiled(pruned := prune(dense)), 40, [callback(dense)])
    fit(compiled(other := prune(dense)), 40, [callback(dense)])
    fit(pruned, 10, [callback(dense)], start=40)
    fit(other, 10, start=40)
    assert_same_state(state(pruned), state(other))


@pytest.mark.slow
def test_compiled_by_xla_with_several_steps_per_execution():
    dense, losses = conv_net(), []
    for options in {}, {"original": dense, "representative_data": IMAGES}:
        pruned = compiled(prune(dense), jit_compile=True, steps_per_execution=4)
        fit(pruned, 20, [spp.SPPCallback(**options)])
        assert host(find_wrappers(pruned)[0].finished) == (2 if options else 1)
        small = spp.shrink(pruned)
        np.testing.assert_allclose(
            small.predict(IMAGES, verbose=0), pruned.predict(IMAGES, verbose=0), 1e-4, 1e-6
        )
        difference = small.predict(IMAGES, verbose=0) - dense.predict(IMAGES, verbose=0)
        losses.append(np.square(difference).mean())
    assert losses[1] < 0.9 * losses[0]


def test_a_distilled_model_is_compensated_as_well():
    dense = conv_net()
    pruned = prune(dense)
    student = compiled(spp.distill(pruned, dense, loss=lambda a, b: (a - b) ** 2))
    fit(student, 40, [callback(dense)])
    assert host(find_wrappers(pruned)[0].finished) == 2


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"original": conv_net()}, TypeError, "`representative_data` must be given too"),
        ({"representative_data": IMAGES}, TypeError, "`original` must be given too"),
        ({"original": 3, "representative_data": IMAGES}, TypeError, "`original`"),
        ({"original": "other", "representative_data": IMAGES}, ValueError, "`original` must be"),
        ({"original": "own", "representative_data": IMAGES[:3]}, ValueError, "at least 16"),
        ({"original": "own", "representative_data": IMAGES * np.nan}, ValueError, "NaN"),
        ({"original": "own", "representative_data": 0 * IMAGES}, ValueError, "the same sample"),
        ({"original": "own", "representative_data": IMAGES, "samples": 0}, ValueError, "samples"),
    ],
)
def test_what_cannot_be_used_is_said_before_training_begins(options, error, words):
    dense = conv_net()
    models = {"own": dense, "other": keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])}
    if isinstance(options.get("original"), str):
        options = {**options, "original": models[options["original"]]}
    pruned = compiled(prune(dense))
    before = state(pruned)
    with pytest.raises(error, match=words):
        fit(pruned, 10, [spp.SPPCallback(**options)])
    assert_same_state(state(pruned), before)


OPTIMIZERS = {
    "momentum": lambda: sgd(momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "average": lambda: sgd(momentum=0.9, use_ema=True, ema_overwrite_frequency=None),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "scaled": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


def slots(optimizer, variable):
    return {name: host(slot) for name, slot in optimizer_state.slots(optimizer, variable).items()}


@pytest.mark.parametrize("name", slow_but(OPTIMIZERS, ["momentum", "scaled"]))
def test_moments_of_changed_weights_begin_anew_and_sizes_of_gradients_stay(name):
    layers = [L.Conv2D(16, 3), L.PReLU(shared_axes=[1, 2]), L.Conv2D(8, 3), L.ReLU()]
    head = [L.GlobalAveragePooling2D(), L.Dense(4)]
    dense = randomize(keras.Sequential([keras.Input((6, 6, 3)), *layers, *head]))
    pruned = compiled(prune(dense), OPTIMIZERS[name]())
    fit(pruned, 40)
    optimizer = optimizer_state.inner(pruned.optimizer)
    moments = {id(variable): slots(optimizer, variable) for variable in pruned.trainable_variables}
    before = [host(variable) for variable in pruned.trainable_variables]
    step = int(optimizer.iterations)
    spp.compensate(pruned, dense, IMAGES)
    first = optimizer_state.remake(optimizer)
    first.build(pruned.trainable_variables)
    changes = []
    for variable, value in zip(pruned.trainable_variables, before, strict=True):
        changes.append((host(variable) != value).any())
        fresh = slots(first, variable)
        for slot, now in slots(optimizer, variable).items():
            new = changes[-1] and slot not in ("_velocities", "_accumulators")
            expected = fresh[slot] if new else moments[id(variable)][slot]
            np.testing.assert_array_equal(now, expected, f"{slot} of {variable.name}")
    assert any(changes) and not all(changes)
    assert int(optimizer.iterations) == step


def test_a_legacy_optimizer_is_told_of():
    dense = conv_net()
    pruned = compiled(prune(dense), keras.optimizers.legacy.SGD(0.01, momentum=0.9))
    fit(pruned, 40)
    with pytest.warns(UserWarning, match="keeps what it has of the weights before"):
        spp.compensate(pruned, dense, IMAGES)
