import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.core import arrays
from keras_spp.core.groups import Groups
from keras_spp.frameworks.tf_keras import projection
from keras_spp.frameworks.tf_keras.tracing import find_channels
from tests.helpers.judged import data, net
from tests.helpers.slow import slow_but
from tests.zoo.models import L, randomize


def derivatives(model, given, granularity="channel", **options):
    """For each set those of all passes, shape (passes, groups)."""
    groups = Groups(find_channels(model), granularity)
    found = list(spp.Fisher(**options)._derivatives(model, groups, given))
    return {name: np.stack([each[name] for each in found]) for name in found[0]}, groups


def two_heads():
    """Channels with several readers, and outputs of different sizes and types."""
    x = keras.Input((5, 5, 2))
    y = L.Conv2D(4, 3, activation="tanh", name="stem")(x)
    z = L.Conv2D(4, 1, name="branch")(y)
    shared = L.Add()([y, z])
    head = L.Dense(3, activation="softmax", name="head")(L.GlobalAveragePooling2D()(shared))
    label = L.Lambda(lambda t: tf.argmax(t, -1))(head)
    return randomize(keras.Model(x, [L.Conv2D(2, 1, name="map")(shared), head, label]))


@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("seed", slow_but(range(3), [0]))
def test_products_of_derivatives_are_those_of_the_jacobian(seed, granularity):
    model = two_heads()
    x = np.random.default_rng(seed).normal(size=(6, 5, 5, 2)).astype("float32")
    found, groups = derivatives(model, x, granularity, passes=1000, samples=6, seed=seed)

    exact = {entry.name: np.zeros((entry.size, entry.size)) for entry in groups.sets}
    kernels = [mask.variable for reader in groups.readers for mask in reader.weights]
    with tf.GradientTape(persistent=True) as tape:
        outputs = [each / tf.math.reduce_std(tf.stop_gradient(each)) for each in model(x)[:2]]
    for output in outputs:
        jacobians = iter(tape.jacobian(output, kernels, unconnected_gradients="zero"))
        change = {entry.name: 0 for entry in groups.sets}
        for reader in groups.readers:
            for mask in reader.weights:
                product = (next(jacobians) * mask.variable).numpy()
                flat = product.reshape(-1, *mask.variable.shape)
                sums = np.stack([mask.layout.summed(arrays, row) for row in flat])
                cuts = np.cumsum([entry.size for entry in reader.sets])[:-1]
                for entry, part in zip(reader.sets, np.split(sums, cuts, 1), strict=True):
                    change[entry.name] = change[entry.name] + part
        for name, values in change.items():
            by_class = values.reshape(-1, output.shape[-1], values.shape[-1])
            values = (by_class - by_class.mean(0)).reshape(values.shape)
            exact[name] += values.T @ values / len(values)
    for name, values in exact.items():
        # The mean of 1,000 products of normal variables: five standard errors.
        scale = np.sqrt(np.outer(values.diagonal(), values.diagonal()))
        error = np.abs(found[name].T @ found[name] / 1000 - values) / scale
        assert error.max() < 5 * np.sqrt(2 / 1000), f"{name}, seed {seed}"


def judged(model, given, **options):
    """What pruning each set step by step is said to cost."""
    fisher, rises = spp.Fisher(**options), {}
    fisher.sort = lambda groups, found: rises.update(found)
    fisher.prepare(model, Groups(find_channels(model), "channel"), given)
    return rises


def in_order():
    """A network whose channels go one after the other, and its weights."""
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(3)]))
    kernel, bias, reader, last = model.get_weights()
    reader *= np.arange(1, 9)[:, None] / np.abs(reader).sum(1, keepdims=True)
    return model, (kernel, bias, reader, last)


def test_what_a_bias_makes_up_for_costs_nothing():
    model, (kernel, bias, *others) = in_order()
    kernel[:, 0], bias[0] = 0, 0.1  # the same for all samples
    model.set_weights([kernel, bias, *others])
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    (rises,) = judged(model, x).values()
    assert rises[0] < 1e-6 * rises[1]
    (rises,) = judged(model, x, samples=1).values()  # of one sample nobody can say that
    assert rises[0] > 1e-6 * rises[1] > 0


def test_groups_that_undo_each_other_cost_nothing_together():
    model, (kernel, bias, reader, last) = in_order()
    kernel[:, 1], bias[1], reader[1] = kernel[:, 0], bias[0], -reader[0]
    model.set_weights([kernel, bias, reader, last])
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    (rises,) = judged(model, x).values()
    assert rises[1] < 1e-5 * rises[0] and rises[2] > rises[0]


def test_the_form_of_the_data_does_not_matter():
    x = np.concatenate(list(data()))
    arrays = [x[start : start + 16] for start in range(0, len(x), 16)]
    forms = {
        "dataset": data(),
        "with targets": tf.data.Dataset.zip(data(), tf.data.Dataset.range(9)),
        "array": x,
        "batches": arrays,
        "generator": iter(arrays),
    }
    model = net()
    for passes in (3, 20):  # fewer samples than there are, and more
        found = {
            name: derivatives(model, form, passes=passes, samples=8)[0]
            for name, form in {**forms, "generator": iter(arrays)}.items()
        }
        for name, values in found.items():
            for layer, expected in found["array"].items():
                np.testing.assert_array_equal(values[layer], expected, name)


def test_passes_are_traced_once_for_each_size_of_chunk(monkeypatch):
    calls, projected = [], projection.projected
    monkeypatch.setattr(projection, "projected", lambda *args: calls.append(1) or projected(*args))
    derivatives(net(), np.concatenate(list(data()))[:60], passes=40, samples=16)
    assert len(calls) == 2


def test_in_the_scope_of_a_strategy_it_says_the_same():
    model, x = two_heads(), np.random.default_rng(0).normal(size=(6, 5, 5, 2)).astype("float32")
    expected, _ = derivatives(model, x, passes=2)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        found, _ = derivatives(model, x, passes=2)
    for name, values in expected.items():
        assert values.any()
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)


def test_the_model_is_left_as_it_was():
    x = keras.Input((4, 3), batch_size=8)
    y = L.LSTM(8, stateful=True)(L.Conv1D(16, 1)(x))
    model = randomize(keras.Model(x, L.Dense(2)(y)))
    before = [weight.numpy() for weight in model.variables]
    samples = np.random.default_rng(0).normal(size=(32, 4, 3)).astype("float32")
    derivatives(model, samples, samples=8, passes=4)
    for old, weight in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, weight)


def test_what_is_wrong_is_said():
    for argument, least in (("passes", 1), ("samples", 1), ("seed", 0)):
        with pytest.raises(
            ValueError, match=f"`{argument}` must be an integer of at least {least}"
        ):
            spp.Fisher(**{argument: least - 1})
    model = randomize(keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dense(2)]))
    options = {"target_speedup": 1.2, "round_to": 1, "allocation": spp.Fisher()}
    with pytest.raises(TypeError, match="`representative_data` must be a"):
        spp.prune(model, **options)
    with pytest.raises(ValueError, match="at least one batch but is empty"):
        spp.prune(model, representative_data=[], **options)
    with pytest.raises(ValueError, match="gives NaN or infinity for the deriv"):
        spp.prune(model, representative_data=np.full((8, 4), np.nan, np.float32), **options)
    with pytest.raises(ValueError, match="gives zeros, as samples do that are all alike"):
        spp.prune(model, representative_data=np.ones((8, 4), np.float32), **options)
    blind = keras.Model(model.input, L.Lambda(lambda y: tf.argmax(y, -1))(model.output))
    with pytest.raises(ValueError, match="gives zeros, as samples do that are all alike"):
        spp.prune(blind, representative_data=np.eye(4, dtype="float32"), **options)
