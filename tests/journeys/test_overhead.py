"""What pruning costs besides the network: memory, and that nothing grows while it trains."""

import gc
import resource
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L
from tests.zoo.networks import resnet20


def size(variables):
    """In bytes."""
    return sum(variable.dtype.size * variable.shape.num_elements() for variable in variables)


@pytest.mark.parametrize(
    "network",
    [
        resnet20,
        pytest.param(
            lambda: keras.applications.ResNet50(weights=None), id="ResNet50", marks=pytest.mark.slow
        ),
    ],
)
def test_the_variables_of_a_pruned_model_take_two_percent_more_at_most(network):
    model = network()
    pruned = spp.prune(model, target_speedup=2.0)
    extra = (size(pruned.weights) - size(model.weights)) / size(model.weights)
    assert 0 < extra <= 0.02, f"{extra:.2%}"
    assert size(pruned.trainable_variables) == size(model.trainable_variables)


def test_no_state_of_pruning_gets_a_slot():
    model = keras.Sequential([keras.Input((4,)), L.Dense(32), L.Dense(16), L.Dense(1)])
    schedule = spp.SPPSchedule(frequency=1, score="taylor")
    pruned = spp.prune(model, pruning_ratio=0.5, schedule=schedule)
    sizes = []
    for each in (model, pruned):
        each.compile(keras.optimizers.Adam(), "mse")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # too few steps to finish
            each.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0, batch_size=1, epochs=2)
        sizes.append(size(each.optimizer.variables))
    assert sizes[0] == sizes[1]


class _Looks(keras.callbacks.Callback):
    """Notes at some steps what exists in the process."""

    def __init__(self, steps):
        super().__init__()
        self.at, self.seen, self.step = steps, [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step in self.at:
            gc.collect()
            self.seen.append({
                "traces": self.model.train_function.experimental_get_tracing_count(),
                "tensors": sum(isinstance(x, tf.Tensor | tf.Variable) for x in gc.get_objects()),
                "blocks": sys.getallocatedblocks(),  # of Python's memory, for any object
                "KiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "decided": logs.get("groups_decided"),
            })  # fmt: skip


@pytest.mark.parametrize(
    "steps, granularity",
    [
        (200, "channel"),
        pytest.param(10_000, "channel", marks=pytest.mark.slow),
        pytest.param(10_000, "column", marks=pytest.mark.slow),
    ],
)
def test_nothing_grows_while_probabilities_move_and_while_weights_are_tuned(
    steps, granularity, tmp_path
):
    gc.freeze()  # what other tests have left is not looked at
    x = keras.Input((6, 6, 2))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3)(x)))
    model = keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(8, 3)(y))))
    schedule = spp.SPPSchedule(A=0.05, frequency=steps // 200)  # over in the first half
    pruned = spp.prune(
        model, pruning_ratio=0.5, granularity=granularity, schedule=schedule, round_to=1
    )
    pruned.compile(keras.optimizers.Adam(1e-4), "mse")
    looks = _Looks([steps * tenth // 10 for tenth in (1, 2, 8, 10)])
    random = np.random.default_rng(0)
    data = random.normal(size=(steps, 6, 6, 2)), random.normal(size=(steps, 2))
    callbacks = [spp.SPPCallback(log_dir=tmp_path), looks]
    pruned.fit(*data, batch_size=1, verbose=0, shuffle=False, callbacks=callbacks)
    first, second, third, last = looks.seen
    assert second["decided"] < 1 == third["decided"], looks.seen  # one pair in each phase
    plain = _Looks([2])
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    model.fit(*(each[:2] for each in data), batch_size=1, verbose=0, callbacks=[plain])
    assert last["traces"] == first["traces"] == plain.seen[0]["traces"], looks.seen
    for key, most in {"tensors": 10, "blocks": 1000}.items():
        for before, after in ((first, second), (third, last), (first, last)):
            assert after[key] - before[key] <= most, (key, looks.seen)
    assert last["KiB"] - first["KiB"] <= 50 * 1024, looks.seen
