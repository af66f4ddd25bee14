import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.helpers.judged import images, measured, narrow
from tests.helpers.slow import slow_but
from tests.zoo.models import L, randomize


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_nothing_pruned_changes_nothing_and_the_copy_recovers(granularity):
    groups, measure = measured(narrow(0), images(0), granularity)
    half = np.array([entry.size // 2 for entry in groups.sets])
    assert measure(0 * half) == pytest.approx(0, abs=1e-9)
    much = measure(half)
    assert 0.01 < much < np.inf
    assert measure(0 * half) == pytest.approx(0, abs=1e-9)
    assert measure(half) == much


@pytest.mark.parametrize("seed", slow_but(range(10), range(2)))
def test_a_plan_is_measured_as_batch_normalisation_with_its_own_statistics_would_have_it(seed):
    """Equality with Keras: normalised layers in training compute what is restored."""
    random = np.random.default_rng(seed)
    plain = [L.Conv2D(8, 3, name=f"conv{n}") for n in range(3)]
    x = y = keras.Input((10, 10, 3))
    for layer in plain:
        y = L.ReLU()(L.BatchNormalization(epsilon=0)(layer(y)))
    model = randomize(keras.Model(x, L.Conv2D(4, 1, name="last")(y)), seed)
    given = images(seed)
    for layer in model.layers:  # statistics that fit, as after training
        if isinstance(layer, L.BatchNormalization):
            inputs = keras.Model(x, layer.input)(given)
            mean, variance = tf.nn.moments(inputs, [0, 1, 2])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
    groups, measure = measured(model, given)
    dense = model(given).numpy()
    goals = [int(random.integers(0, entry.size - 1)) for entry in groups.sets]
    found = measure(goals)

    for goal, reader in zip(goals, groups.readers, strict=True):
        kernel = reader.layer.kernel.numpy()
        norms = np.abs(kernel).sum((0, 1, 3))
        kernel[:, :, norms.argsort(kind="stable")[:goal]] = 0
        reader.layer.kernel.assign(kernel)
    pruned = model(given, training=True).numpy()
    axes = (0, 1, 2)
    pruned = (pruned - pruned.mean(axes)) / pruned.std(axes) * dense.std(axes) + dense.mean(axes)
    expected = np.mean((pruned - dense) ** 2) / dense.var()
    assert found == pytest.approx(expected, rel=1e-2), f"seed {seed}"  # Keras has an epsilon


def test_what_a_scale_and_a_bias_make_up_for_is_no_change():
    model = narrow(1, "linear")
    kernel, bias = model.layers[0].get_weights()
    kernel[:] = kernel[..., :1]  # all channels are one
    reader, other = model.layers[1].get_weights()
    reader[:] = np.abs(reader)  # that none is needed to undo another
    model.layers[0].set_weights([kernel, bias])
    model.layers[1].set_weights([reader.mean(2, keepdims=True).repeat(reader.shape[2], 2), other])
    groups, measure = measured(model, images(1))
    assert measure([groups.sets[0].size - 1, 0, 0]) < 1e-6
    assert measure([0, groups.sets[1].size - 1, 0]) > 1e-2
