import numpy as np
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.probe import observed
from tests.zoo.models import (
    L,
    inputs_for,
    random_model,
    random_probabilities,
    randomize,
    relative_error,
)


def test_a_copy_shows_what_passes_and_computes_the_same():
    model, seen = random_model(2), {}

    def look_for(layer):
        if isinstance(layer, L.Conv2D):
            return lambda inputs, outputs: seen.update({layer.name: (inputs.shape, outputs.shape)})
        return None

    copy = observed(model, look_for)
    assert not seen  # building is not looking
    assert relative_error(model, copy) == 0
    names = {layer.name for layer in model._flatten_layers() if isinstance(layer, L.Conv2D)}
    assert set(seen) == names and all(before[0] == 3 for before, _ in seen.values())
    assert not set(map(id, model.variables)) & set(map(id, copy.variables))


def test_a_look_may_replace_what_comes_out():
    x = keras.Input((4,))
    model = randomize(keras.Model(x, L.Dense(3)(L.ReLU(name="relu")(x))))
    copy = observed(model, lambda layer: (lambda x, _: 2 * x) if layer.name == "relu" else None)
    data = inputs_for(model)[0]
    dense = model.layers[-1]
    np.testing.assert_allclose(copy(data), 2 * data @ dense.kernel + dense.bias, rtol=1e-5)


def test_a_pruned_model_is_seen_with_its_probabilities():
    pruned = spp.prune(random_model(5), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    assert relative_error(pruned, observed(pruned, lambda layer: None)) == 0
