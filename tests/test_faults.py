"""NaN and infinity: pruning stops, with the layer and the step, before it decides on them."""

import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from models import L, randomize
from sentences import assert_one_sentence
from training import assert_same_state, compiled, conv_net, data, fit, plain_net, prune, sgd, state

import keras_spp as spp
from keras_spp.graph import find_wrappers

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def decided(pruned):
    """What an update decides: probabilities, masks, scores, and how many there were."""
    pruner = spp.Pruner(pruned)
    kept = {"p", "mask", "score"}
    values = [(v.name, v.numpy()) for w in pruner.wrappers for v in (w.p, w.mask, w.score)]
    assert {name.split("/")[-1].split(":")[0] for name, _ in values} == kept
    counters = (pruner.conductor.updates_made, pruner.conductor.finished)
    return [*values, *((v.name, v.numpy()) for v in counters)]


class Spoil(keras.callbacks.Callback):
    """Puts a value into one weight of a layer after a step, and remembers what was decided."""

    def __init__(self, step, layer, value):
        super().__init__()
        self.step, self.layer, self.value = step, layer, value

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) >= self.step:
            self.step = 10**9
            weight = self.model.get_layer(self.layer).trainable_weights[0]
            array = weight.numpy()
            array.flat[0] = self.value
            weight.assign(array)
            self.before = decided(self.model)


def stopped(pruned, steps, callbacks=(), **options):
    """Trains until pruning stops; (step, layer) of the sentence that says so."""
    with pytest.raises(FloatingPointError) as error:
        fit(pruned, steps, [*callbacks, spp.SPPCallback()], **options)
    found = re.match(
        r"SPP stopped at step (\d+), before an update of the pruning probabilities: the weights or "
        r"scores of layer '(\w+)' hold NaN or infinity; go back",
        assert_one_sentence(error),
    )
    assert found, error.value
    return int(found[1]), found[2]


# -- in weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "value"), [("stem", np.nan), ("inner", np.inf), ("last", -np.inf), ("head", np.nan)]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 4}],
    ids=str,
)
def test_the_update_that_meets_a_bad_weight_decides_nothing_and_names_its_layer(
    layer, value, options
):
    """Of the step before the update: later ones spread what is broken over all layers."""
    pruned = compiled(prune(plain_net(), frequency=4), **options)
    spoil = Spoil(8, layer, value)
    assert stopped(pruned, 24, [spoil]) == (8, layer)
    assert int(spp.Pruner(pruned).conductor.updates_made) == 1  # of step 4
    assert_same_state(spoil.before, decided(pruned))
