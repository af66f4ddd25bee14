import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras.probe import Probe, norms
from keras_spp.frameworks.tf_keras.tracing import find_channels
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

    def hooks(layer):
        if isinstance(layer, L.Conv2D):
            return lambda inputs, outputs: seen.update({layer.name: (inputs.shape, outputs.shape)})
        return None

    copy = Probe(model, hooks=hooks).model
    assert not seen  # building is not looking
    assert relative_error(model, copy) == 0
    names = {layer.name for layer in model._flatten_layers() if isinstance(layer, L.Conv2D)}
    assert set(seen) == names and all(before[0] == 3 for before, _ in seen.values())
    assert not set(map(id, model.variables)) & set(map(id, copy.variables))


def test_a_hook_may_replace_what_comes_out():
    x = keras.Input((4,))
    model = randomize(keras.Model(x, L.Dense(3)(L.ReLU(name="relu")(x))))
    probe = Probe(model, hooks=lambda layer: (lambda x, _: 2 * x) if layer.name == "relu" else None)
    data = inputs_for(model)[0]
    dense = model.layers[-1]
    (outputs,) = probe.outputs([data], eager=True)
    np.testing.assert_allclose(outputs, 2 * data @ dense.kernel + dense.bias, rtol=1e-5)


def test_a_pruned_model_is_seen_with_its_probabilities():
    pruned = spp.prune(random_model(5), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    assert relative_error(pruned, Probe(pruned).model) == 0


def two_layers():
    x = keras.Input((5, 5, 2))
    y = L.Conv2D(6, 3, activation="tanh", name="a")(x)
    y = L.Add()([L.Conv2D(4, 1, name="b")(y), L.Conv2D(4, 1, name="c")(y)])
    model = randomize(keras.Model(x, L.Conv2D(3, 1, name="last")(y)))
    return model, Groups(find_channels(model), "channel")


def test_groups_go_as_in_a_model_with_zeros_and_come_back():
    model, groups = two_layers()
    probe, x = Probe(model, groups), inputs_for(model)[0]
    before = [weight.numpy() for weight in probe.model.weights]
    probe.zero({"a": np.array([True, False, True, True, False, True])})
    expected = keras.models.clone_model(model)
    expected.set_weights(model.get_weights())
    for name in "bc":
        kernel = expected.get_layer(name).kernel.numpy()
        kernel[:, :, [1, 4]] = 0
        expected.get_layer(name).kernel.assign(kernel)
    (outputs,) = probe.outputs([x])
    np.testing.assert_array_equal(outputs, tf.function(expected)(x))
    np.testing.assert_array_equal(probe.outputs([x], eager=True)[0], expected(x))
    probe.zero({"b": np.array([False, True, True, True])})  # two at a time
    probe.restore()
    for old, weight in zip(before, probe.model.weights, strict=True):
        np.testing.assert_array_equal(old, weight)
    np.testing.assert_array_equal(probe.outputs([x], eager=True)[0], model(x))


def test_derivatives_are_by_a_factor_of_each_groups_weights():
    model, groups = two_layers()
    x, step = inputs_for(model)[0], 1e-3
    derivatives = Probe(model, groups).derivatives(lambda y, scale: scale * tf.reduce_sum(y**2))
    found = derivatives(x, tf.constant(2.0))
    assert [len(values) for values in found] == [6, 6, 4]
    last = model.get_layer("last").kernel
    dense = last.numpy()
    for number, derivative in enumerate(found[-1]):
        sums = []
        for factor in (1 - step, 1 + step):
            kernel = dense.copy()
            kernel[:, :, number] *= factor
            last.assign(kernel)
            sums.append(2 * np.sum(np.square(model(x), dtype=np.float64)))
        last.assign(dense)
        assert derivative == pytest.approx((sums[1] - sums[0]) / (2 * step), rel=1e-2)


def test_norms_are_sums_of_magnitudes():
    _, groups = two_layers()
    kernels = {reader.layer.name: reader.layer.kernel.numpy() for reader in groups.readers}
    for reader in groups.readers:
        expected = np.abs(kernels[reader.layer.name]).sum((0, 1, 3))
        np.testing.assert_allclose(norms(reader), expected, rtol=1e-6)
