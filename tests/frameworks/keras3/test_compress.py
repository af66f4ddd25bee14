"""Compensation and compression of Keras 3 models, and the allocations that need no derivatives."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.allocation.sensitivity import change
from keras_spp.core.groups import Groups
from keras_spp.pruning.network import label
from keras_spp.pruning.one_shot import pruned_at_once
from tests.helpers.keras3 import assert_equal
from tests.zoo.keras3_models import L, ops, outputs, randomize


def residual(size=8):
    x = inputs = keras.Input((size, size, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(12, 3, padding="same", use_bias=False)(x)))
    y = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    x = x + L.BatchNormalization()(L.Conv2D(12, 1, use_bias=False)(y))
    y = L.Conv2D(8, 3, groups=2, activation="relu")(x)
    y = L.Conv2DTranspose(8, 3, activation="relu")(y)
    y = L.SeparableConv2D(8, 3, padding="same")(ops.concatenate([x, y], axis=-1))
    x = L.GlobalAveragePooling2D()(ops.relu(y))
    return randomize(keras.Model(inputs, L.Dense(5)(L.Dense(16, activation="relu")(x))))


def images(count=96, size=8, seed=0):
    """Samples of which neighbours are alike, as those of pictures."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, size, size, 3))
    x = x + np.roll(x, 1, 1) + np.roll(x, 1, 2) + random.normal(size=(count, 1, 1, 1))
    return x.astype("float32")


@pytest.fixture(scope="module")
def model():
    return residual()


@pytest.fixture(scope="module")
def pruned(model):
    """A small model whose weights are those that were left."""
    network = label(model)
    goals = np.array([entry.size // 3 for entry in network.groups.sets])
    return lambda: pruned_at_once(model, network.groups, goals)


def lost(model, small, x):
    return change(outputs(model, x), outputs(small, x))


def test_compensation_makes_up_for_most_of_what_is_lost(model, pruned):
    small, held_out = pruned(), images(64, seed=9)
    before = lost(model, small, held_out)
    kept = [variable.numpy() for variable in model.variables]
    result, report = spp.compensate(small, model, images(256), return_report=True)
    assert result is small
    assert lost(model, small, held_out) < before / 3
    for variable, value in zip(model.variables, kept, strict=True):
        np.testing.assert_array_equal(variable, value)
    rows = {row.layer: row for row in report}
    assert len(rows) == 8 and not any(row.reason for row in rows.values())
    assert all(row.after <= row.before for row in rows.values())


def test_compensation_of_the_same_model_changes_nothing(model):
    same = frameworks.of(model).rebuild(model, frameworks.of(model).clone)
    frameworks.of(model).copy_weights(model, same)
    before = outputs(same, images(8))
    spp.compensate(same, model, images())
    assert_equal(before, outputs(same, images(8)), 1e-4)


def test_an_optimizer_forgets_what_it_keeps_of_weights_that_change(pruned, model):
    small = pruned()
    small.compile("adam", "mse")
    small.fit(images(32), np.zeros((32, 5)), verbose=0)
    optimizer = small.optimizer
    steps = int(optimizer.iterations)
    kernel = small.layers[-1].kernel
    momentum, size = (v for v in optimizer.variables if tuple(v.shape) == tuple(kernel.shape))
    assert np.abs(momentum).max() > 0
    before = size.numpy()
    spp.compensate(small, model, images())
    assert int(optimizer.iterations) == steps
    assert np.abs(momentum).max() == 0
    np.testing.assert_array_equal(size, before)


def test_data_that_do_not_fit_are_refused_and_nothing_changes(model, pruned):
    small = pruned()
    before = [variable.numpy() for variable in small.variables]
    with pytest.raises(ValueError, match="`representative_data` must hold what the model takes"):
        spp.compensate(small, model, np.zeros((32, 8, 8, 4)) + np.arange(32)[:, None, None, None])
    for variable, value in zip(small.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_compress_meets_its_target_and_beats_plain_pruning(model, pruned):
    small, report = spp.compress(
        model, images(256), 2, round_to=1, epochs=1, verbose=0, return_report=True
    )
    assert report.speedup == pytest.approx(2, rel=0.1) and report.speedup >= 2
    assert report.macs[1] == spp.analyze(small).macs
    assert report.outputs[0].lost < lost(model, pruned(), images(64, seed=9))
    assert report.outputs[0].output == model.output_names[0]
    assert frameworks.of(small) is frameworks.of(model)


@pytest.mark.parametrize("allocation", [spp.Uniform, spp.Search, spp.Sensitivity, spp.Fisher])
def test_allocations_take_keras_3_models(model, allocation):
    options = {} if allocation in (spp.Uniform, spp.Fisher) else {"verbose": 0}
    if allocation is spp.Search:
        options |= {"trials": 8, "samples": 32}
    small = spp.compress(
        model, images(64), 1.5, allocation=allocation(**options), round_to=1, epochs=0, verbose=0
    )
    assert spp.analyze(model).macs / spp.analyze(small).macs >= 1.5


def test_derivatives_are_those_of_the_outputs_by_a_factor_of_each_group(model):
    framework = frameworks.of(model)
    groups = Groups(framework.label(model), "channel")
    probe = framework.Probe(model, groups)
    x, step = images(4), 1e-2
    derivatives = probe.derivatives(lambda y: ops.sum(y))(x)
    for reader, values in zip(groups.readers, derivatives, strict=True):
        for entry, part in reader.split(values):
            if sum(entry in other.sets for other in groups.readers) > 1:
                continue  # several layers read it
            sums = []
            for factor in (1 + step, 1 - step):
                probe.zero({entry.name: np.where(np.arange(entry.size) == 0, factor, 1)})
                sums.append(float(ops.sum(probe.outputs([x])[0])))
                probe.restore()
            assert part[0] == pytest.approx((sums[0] - sums[1]) / 2 / step, rel=0.05, abs=0.02)


def test_columns_go_too(model):
    small = spp.compress(
        model, images(64), pruning_ratio=0.4, granularity="column", round_to=1, epochs=1, verbose=0
    )
    kernel = next(layer for layer in small.layers if isinstance(layer, L.Conv2D)).kernel.numpy()
    assert (np.abs(kernel).max(-1) == 0).mean() == pytest.approx(0.4, abs=0.05)


def test_a_probe_gives_back_what_it_takes_and_sees_what_layers_see(model):
    framework = frameworks.of(model)
    seen = []
    groups = Groups(framework.label(model), "channel")
    probe = framework.Probe(
        model, groups, lambda layer: lambda x, y: seen.append((layer.name, x.shape, y.shape))
    )
    (before,) = probe.outputs([images(4)])
    (eager,) = probe.outputs([images(4)], eager=True)
    assert_equal([before.numpy()], [eager.numpy()])
    assert seen[0][1:] == ((4, 8, 8, 3), (4, 8, 8, 12))
    entry = groups.sets[0]
    probe.zero({entry.name: np.arange(entry.size) > 2})
    assert np.abs(probe.outputs([images(4)])[0].numpy() - before.numpy()).max() > 1e-3
    probe.restore()
    np.testing.assert_array_equal(probe.outputs([images(4)])[0], before)


def masked_steps():
    x = keras.Input((6, 4))
    y = L.LSTM(8, return_sequences=True)(L.Masking()(x))
    return keras.Model(x, L.Dense(2)(L.GRU(5)(L.TimeDistributed(L.Dense(6, "relu"))(y))))


def repeated_model():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(6, "relu")])
    x = keras.Input((6, 4))
    return keras.Model(x, L.Dense(2)(L.GRU(5)(L.TimeDistributed(inner)(x))))


@pytest.mark.parametrize("make", [masked_steps, repeated_model])
def test_layers_that_are_repeated_behind_a_mask_or_in_a_model(make):
    model = randomize(make())
    x = np.random.default_rng(0).normal(size=(32, 6, 4)).astype("float32")
    small = spp.compress(model, x, pruning_ratio=0.4, round_to=1, verbose=0)
    assert small.count_params() < 0.8 * model.count_params()
    assert np.isfinite(outputs(small, x)[0]).all()


def test_a_hook_in_a_repeated_layer_sees_all_time_steps():
    x = keras.Input((5, 4))
    model = randomize(keras.Model(x, L.TimeDistributed(L.Dense(3))(x)))
    shapes = []
    probe = frameworks.of(model).Probe(model, hooks=lambda _: lambda x, y: shapes.append(x.shape))
    data = np.ones((2, 5, 4), "float32")
    assert_equal(outputs(model, data), [np.asarray(probe.call(data))])
    assert shapes == [(10, 4)]


def test_statistics_are_those_of_the_batches():
    x = keras.Input((4, 4, 3))
    inner = keras.Model(x, L.BatchNormalization(name="norm")(x))
    model = randomize(keras.Model(x, L.Conv2D(2, 1)(inner(x))))
    data = images(64, 4)
    assert spp.reestimate_batch_norm(model, [data[:32], data[32:]]) is model
    norm = inner.get_layer("norm")
    expected = [np.var(half, axis=(0, 1, 2)) for half in (data[:32], data[32:])]
    np.testing.assert_allclose(norm.moving_mean, data.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, np.mean(expected, axis=0), rtol=1e-4)


def test_inputs_come_in_a_dict_and_sizes_may_be_open():
    a, b = keras.Input((None, None, 3), name="a"), keras.Input((4,), name="b")
    x = L.Conv2D(8, 3, activation="relu")(a)
    x = L.Conv2D(8, 3)(x * ops.reshape(L.Dense(8)(b), (-1, 1, 1, 8)))
    end = L.Dense(2, name="end")(L.GlobalAveragePooling2D()(x))
    model = randomize(keras.Model({"a": a, "b": b}, {"end": end}))
    assert not spp.analyze(model).fixed_size
    macs = spp.analyze(model, input_shape={"a": (8, 8, 3)}).macs
    assert macs == 36 * 8 * 27 + 32 + 16 * 8 * 72 + 16
    with pytest.raises(ValueError, match="`input_shape` must name inputs of the model"):
        spp.analyze(model, input_shape={"c": (8, 8, 3)})
    with pytest.raises(ValueError, match="`input_shape` must be sizes that the model takes"):
        spp.analyze(model, input_shape={"a": (2, 2, 3)})
    data = [{"a": images(32), "b": np.ones((32, 4), "float32")} for _ in range(2)]
    small, report = spp.compress(
        model, data, 1.5, round_to=1, verbose=0, return_report=True,
        input_shape={"a": (8, 8, 3)}, allocation=spp.Uniform(),
    )  # fmt: skip
    assert [row.output for row in report.outputs] == ["end"] and report.speedup >= 1.5
    assert small.input["a"].shape == (None, None, None, 3)
