import re

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import TF_KERAS, L, array, keras
from tests.helpers.compared import inputs_for, relative_error
from tests.helpers.random_weights import random_probabilities, randomize
from tests.helpers.slow import slow_but
from tests.helpers.wrappers import find_wrappers
from tests.zoo.random_models import random_model

pytestmark = pytest.mark.usefixtures("keras")


def small_net():
    """Two 32-filter convolutions joined by an addition, a third one, a head."""
    x = inputs = keras.Input((8, 8, 3))
    x = stem = L.Conv2D(32, 3, padding="same", name="stem")(x)
    x = L.Conv2D(24, 3, padding="same", activation="relu", name="inner")(x)
    x = L.Conv2D(32, 3, padding="same", name="outer")(x)
    x = L.ReLU()(L.Add()([x, stem]))
    x = L.Conv2D(16, 3, name="last")(x)
    x = L.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(inputs, L.Dense(4, name="head")(x)))


class Only:
    """Allows the named layers."""

    def __init__(self, *names):
        self.names = names

    def allow_pruning(self, layer):
        return layer.name in self.names

    def ensure_model_supports_pruning(self, model):
        if model.name == "refused":
            raise ValueError("this policy refuses the model")


def goals(pruned):
    pruner = spp.Pruner(pruned)
    return dict(zip(pruner.names, pruner.sets.goal.tolist(), strict=True))


def test_the_original_model_is_untouched_and_shares_nothing():
    model = small_net()
    before = [array(weight) for weight in model.weights]
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    pruned = spp.prune(model, pruning_ratio=0.5)
    for weight in pruned.weights:
        weight.assign(array(weight) + 1)
    assert all((a == array(b)).all() for a, b in zip(before, model.weights, strict=True))
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]


def test_before_training_the_pruned_model_computes_what_the_model_computes():
    model = small_net()
    pruned = spp.prune(model, pruning_ratio=0.5)
    (x,) = inputs_for(model)
    np.testing.assert_array_equal(array(model(x)), array(pruned(x)))


def test_every_layer_that_reads_a_pruned_channel_is_wrapped_and_no_other():
    pruned = spp.prune(small_net(), pruning_ratio=0.5)
    wrapped = {wrapper.layer.name for wrapper in find_wrappers(pruned)}
    assert wrapped == {"inner", "outer", "last", "head"}  # the stem reads the image


def test_survivors_are_rounded_up_to_a_multiple():
    assert goals(spp.prune(small_net(), pruning_ratio=0.5)) == {"stem": 16, "inner": 8, "last": 8}
    assert goals(spp.prune(small_net(), pruning_ratio=0.5, round_to=1)) == {
        "stem": 16,
        "inner": 12,
        "last": 8,
    }


def test_a_ratio_per_layer_names_the_layer_that_makes_the_channels():
    assert goals(spp.prune(small_net(), pruning_ratio={"inner": 0.5, "outer": 0.25})) == {
        "stem": 8,
        "inner": 8,
        "last": 0,
    }


def test_columns_are_counted_in_their_own_layer():
    found = goals(spp.prune(small_net(), {"inner": 0.5}, granularity="column", round_to=1))
    assert found == {"stem": 0, "inner": 9 * 32 // 2, "outer": 0, "last": 0}


@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("target", [1.0, 1.7, 3.0])
def test_a_target_speedup_is_met_and_one_set_less_would_miss_it(granularity, target):
    pruned = spp.prune(small_net(), target_speedup=target, granularity=granularity, round_to=1)
    pruned.compile("sgd", "mse")
    speedup = random_probabilities(pruned, settled=True).progress().macs_speedup
    assert speedup >= target
    assert speedup <= target * 1.25  # few and small layers: no goal is far too strong


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_a_speedup_of_the_convolutions_only(granularity, tmp_path):
    def conv_macs(model):
        return sum(
            int(np.prod(layer.output.shape[1:3])) * np.count_nonzero(array(layer.kernel))
            for layer in model.layers
            if isinstance(layer, L.Conv2D)
        )

    x = keras.Input((8, 8, 3))
    y = L.Conv2D(32, 3, padding="same")(L.Conv2D(32, 3, padding="same", name="stem")(x))
    y = L.Dense(512, activation="relu")(L.Flatten()(y))  # most of the MACs
    model = randomize(keras.Model(x, L.Dense(10)(y)))
    pruned = spp.prune(
        model, target_speedup=3, granularity=granularity, round_to=1, counted="convolutions"
    )
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    for each in (pruned, loaded):
        progress = random_probabilities(each, settled=True).progress()
        small = spp.shrink(each)
        found = conv_macs(model) / conv_macs(small)
        assert 3 <= found <= 3.3
        assert progress.macs_speedup == pytest.approx(found)
    with pytest.raises(ValueError, match=r'`counted` must be "all" or "convolutions" but is None'):
        spp.prune(model, 0.5, counted=None)


def test_without_convolutions_there_is_no_speedup_of_them():
    model = keras.Sequential([keras.Input((8,)), L.Dense(32), L.Dense(4)])
    with pytest.raises(ValueError, match="no MACs to count with counted='convolutions'"):
        spp.prune(model, target_speedup=2, round_to=1, counted="convolutions")


def test_a_policy_excludes_layers():
    pruned = spp.prune(small_net(), pruning_ratio=0.5, policy=Only("inner", "outer"))
    assert goals(pruned) == {"inner": 8}
    x = keras.Input((8,))
    model = keras.Model(x, L.Dense(4)(L.Dense(32, name="inner")(x)), name="refused")
    with pytest.raises(ValueError, match="this policy refuses the model"):
        spp.prune(model, pruning_ratio=0.5, policy=Only("inner"))


def test_the_seed_decides_the_masks():
    def seeds(seed):
        wrapper = spp.Pruner(spp.prune(small_net(), pruning_ratio=0.5, seed=seed)).wrappers[0]
        return [entry["seed"] for entry in wrapper.sets]

    assert seeds(1) == seeds(1) != seeds(2)


def test_an_allocation_of_ones_own_decides_the_ratios():
    class OnlyLast:
        def prepare(self, model, groups, representative_data):
            self.data = representative_data

        def ratios(self, sets, strength):
            return [strength if entry.name == "last" else 0.0 for entry in sets]

    allocation = OnlyLast()
    pruned = spp.prune(
        small_net(), pruning_ratio=0.5, allocation=allocation, representative_data="batches"
    )
    assert goals(pruned) == {"stem": 0, "inner": 0, "last": 8}
    assert allocation.data == "batches"


@pytest.mark.parametrize("ratio", [1, 1.0, -0.1, "half", True, float("nan")])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match=r"`pruning_ratio` must be a number in \[0, 1\) but is"):
        spp.prune(small_net(), pruning_ratio=ratio)
    with pytest.raises(ValueError, match=r"`pruning_ratio\['inner'\]` must be a number"):
        spp.prune(small_net(), pruning_ratio={"inner": ratio})


@pytest.mark.parametrize("target", [0.5, 0, -1, float("inf"), "2x", True])
def test_a_speedup_below_one_is_refused(target):
    with pytest.raises(ValueError, match="`target_speedup` must be a number of at least 1 but is"):
        spp.prune(small_net(), target_speedup=target)


@pytest.mark.parametrize("targets", [{}, {"pruning_ratio": 0.5, "target_speedup": 2.0}])
def test_exactly_one_target_is_needed(targets):
    with pytest.raises(ValueError, match=r"exclude each other but are .*: give one of them"):
        spp.prune(small_net(), **targets)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"granularity": "filter"}, "`granularity` must be 'channel' or 'column' but is 'filter'"),
        ({"round_to": 0}, "`round_to` must be an integer of at least 1 but is 0"),
        ({"round_to": 2.5}, "`round_to` must be an integer of at least 1 but is 2.5"),
        ({"seed": -1}, "`seed` must be an integer of at least 0 but is -1"),
    ],
)
def test_other_arguments_are_checked(argument, message):
    with pytest.raises(ValueError, match=message):
        spp.prune(small_net(), pruning_ratio=0.5, **argument)


@pytest.mark.parametrize("argument", ["policy", "allocation"])
def test_a_policy_and_an_allocation_need_their_methods(argument):
    with pytest.raises(TypeError, match=f"`{argument}` must have the methods .* but is 'mine'"):
        spp.prune(small_net(), pruning_ratio=0.5, **{argument: "mine"})
    with pytest.raises(TypeError, match=f"`{argument}` must be an object but is the class: give P"):
        spp.prune(small_net(), pruning_ratio=0.5, **{argument: spp.PCA})


def test_a_schedule_of_another_kind_is_refused():
    for schedule in (keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9), 0.5):
        with pytest.raises(TypeError, match=r"`schedule` must be an spp.SPPSchedule, "):
            spp.prune(small_net(), pruning_ratio=0.5, schedule=schedule)


@TF_KERAS
def test_a_schedule_of_tfmot_is_refused():
    import tensorflow_model_optimization as tfmot

    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    with pytest.raises(TypeError, match=r"`schedule` must be an spp.SPPSchedule, "):
        spp.prune(small_net(), pruning_ratio=0.5, schedule=schedule)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nose", "names 'nose', but no layer with channels is called so: the layers that can be"),
        ("head", r"names 'head', which cannot be pruned \(model output\): the layers"),
    ],
)
def test_a_ratio_for_a_layer_that_cannot_be_pruned_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        spp.prune(small_net(), pruning_ratio={name: 0.5})


def test_layers_that_share_channels_need_one_ratio():
    with pytest.raises(ValueError, match="the same for layers that share their channels but is"):
        spp.prune(small_net(), pruning_ratio={"stem": 0.5, "outer": 0.25})


def test_an_unreachable_speedup_names_the_largest_that_is_possible():
    with pytest.raises(ValueError, match=r"is 1000 but the largest .* is ([\d.]+):") as caught:
        spp.prune(small_net(), target_speedup=1000)
    largest = float(re.search(r"granularity='channel' is ([\d.]+)", str(caught.value))[1])
    spp.prune(small_net(), target_speedup=largest)
    with pytest.raises(ValueError, match="the largest"):
        spp.prune(small_net(), target_speedup=largest + 0.02)


def test_a_model_with_nothing_to_prune_is_refused():
    x = keras.Input((8,))
    with pytest.raises(ValueError, match="has nothing to prune with granularity='channel'"):
        spp.prune(keras.Model(x, L.Dense(4)(x)), pruning_ratio=0.5)
    one = keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(1, 3), L.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="has nothing to prune"):
        spp.prune(one, pruning_ratio=0.5, round_to=1)


def test_an_already_pruned_model_is_refused():
    pruned = spp.prune(small_net(), pruning_ratio=0.5)
    with pytest.raises(ValueError, match=r"is pruned already .*: finish it with spp.shrink "):
        spp.prune(pruned, pruning_ratio=0.5)


@TF_KERAS
def test_a_model_that_tfmot_has_pruned_is_refused():
    import tensorflow_model_optimization as tfmot

    stock = tfmot.sparsity.keras.prune_low_magnitude(small_net())
    with pytest.raises(ValueError, match=r"is pruned already .*: finish it with tfmot"):
        spp.prune(stock, pruning_ratio=0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    model = small_net()
    kernel = model.get_layer("inner").kernel
    kernel.assign(array(kernel) * value)
    with pytest.raises(ValueError, match=r"holds NaN or infinity in the weight .* layer 'inner'"):
        spp.prune(model, pruning_ratio=0.5)


def test_unbuilt_and_subclassed_models_are_refused():
    with pytest.raises(ValueError, match="without a known input shape"):
        spp.prune(keras.Sequential([L.Conv2D(8, 3)]), pruning_ratio=0.5)

    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="subclassed model"):
        spp.prune(Mine(), pruning_ratio=0.5)


def test_an_open_input_size_takes_a_ratio_but_no_target_in_macs():
    x = keras.Input((None, None, 3))
    y = L.Conv2D(4, 1)(L.Conv2D(32, 3)(x))
    model = keras.Model(x, y)
    with pytest.raises(ValueError, match="counts MACs, which are unknown because"):
        spp.prune(model, target_speedup=2)
    assert goals(spp.prune(model, pruning_ratio=0.5)) == {"conv2d_1": 16}


def test_a_layer_without_a_config_is_named():
    class NoConfig(L.Layer):
        def __init__(self, size):
            super().__init__()
            self.size = size

        def call(self, x):
            return x

    x = keras.Input((8, 8, 3))
    y = NoConfig(np.ones(3))(L.Conv2D(4, 1)(L.Conv2D(32, 3)(x)))
    with pytest.raises(
        ValueError, match=r"\(NoConfig\) that cannot be copied .*: give its class a get_config"
    ):
        spp.prune(keras.Model(x, y), pruning_ratio=0.5)


def test_sequential_models_stay_sequential_and_subclasses_keep_their_train_step():
    sequential = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(32, 3), L.Conv2D(4, 3)])
    assert type(spp.prune(sequential, pruning_ratio=0.5)) is keras.Sequential

    class Mine(keras.Model):
        def train_step(self, data):
            return {"mine": 1.0}

    model = Mine(sequential.inputs, sequential.outputs)
    assert type(spp.prune(model, pruning_ratio=0.5)) is Mine


@pytest.mark.parametrize("seed", slow_but(range(5), range(2)))
def test_random_models_keep_their_outputs_when_they_are_wrapped(seed):
    model = random_model(seed)
    assert relative_error(model, spp.prune(model, pruning_ratio=0.5, round_to=1)) < 1e-6


def test_losses_metrics_and_targets_by_the_outputs_names_fit_the_pruned_model(tmp_path):
    x = keras.Input((8, 8, 3))
    y = L.GlobalAveragePooling2D()(L.Conv2D(16, 3)(L.Conv2D(16, 3)(x)))
    model = keras.Model(x, [L.Dense(4, name="box")(y), L.Dense(2, name="label")(y)])
    pruned = spp.prune(model, pruning_ratio=0.5, schedule=spp.SPPSchedule(A=0.5, frequency=1))
    pruned.compile(
        "sgd", loss={"box": "mse", "label": "mae"}, metrics={"label": "mse"}, jit_compile=False
    )
    targets = {"box": np.ones((8, 4)), "label": np.ones((8, 2))}
    callback = spp.SPPCallback()
    pruned.fit(np.ones((8, 8, 8, 3)), targets, 2, epochs=3, verbose=0, callbacks=[callback])
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    names = [candidate.output_names for candidate in (model, pruned, loaded, spp.shrink(loaded))]
    assert names == [["box", "label"]] * 4


def test_a_lost_train_step_is_said():
    class Own(keras.Model):
        def __init__(self):
            x = keras.Input((8, 8, 3))
            super().__init__(x, L.Dense(3)(L.Conv2D(16, 3)(x)))

        def train_step(self, data):
            return super().train_step(data)

    with pytest.warns(UserWarning, match="without the train_step of Own: give that class"):
        spp.prune(Own(), pruning_ratio=0.5)
