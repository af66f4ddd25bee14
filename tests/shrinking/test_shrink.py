import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_spp as spp
from tests.helpers.both_keras import TF_KERAS, L, array, keras
from tests.helpers.compared import inputs_for, outputs, relative_error
from tests.helpers.random_weights import random_probabilities, randomize
from tests.zoo.random_models import random_model

pytestmark = pytest.mark.usefixtures("keras")
SLOW = pytest.mark.slow
ONE_KERAS = HealthCheck.function_scoped_fixture  # stays the same from example to example
EXACT = 2e-5


def shrunk(model, seed=0, settled=True, **options):
    """A model pruned with random masks, and what shrink makes of it."""
    options.setdefault("pruning_ratio", 0.5)
    pruned = spp.prune(model, **{"round_to": 1, **options})
    random_probabilities(pruned, seed, settled)
    return pruned, spp.shrink(pruned)


def check_random_model(seed, steps=6):
    """The property: whatever the graph and the masks, the shrunk model computes the same."""
    keras.backend.clear_session()
    random = np.random.default_rng(seed)
    model = random_model(seed, steps)
    try:
        pruned, small = shrunk(
            model,
            seed,
            settled=bool(random.integers(2)),
            pruning_ratio=float(random.uniform(0.2, 0.9)),
            round_to=int(random.integers(1, 4)),
            granularity=str(random.choice(["channel", "column"])),
        )
    except ValueError as error:
        assert "has nothing to prune" in str(error), f"seed {seed}: {error}"
        return
    error = relative_error(pruned, small)
    assert error <= EXACT, f"seed {seed}: relative error {error:.1e}"
    assert spp.analyze(small).macs <= spp.analyze(model).macs, f"seed {seed}"


@settings(max_examples=6, suppress_health_check=[ONE_KERAS])
@given(seed=st.integers(0, 2**32 - 1))
def test_random_graphs_with_random_masks_shrink_exactly(seed):
    check_random_model(seed)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=[ONE_KERAS])
@given(seed=st.integers(0, 2**32 - 1))
def test_a_thousand_larger_random_graphs_shrink_exactly(seed):
    check_random_model(seed, steps=9)


def test_an_unfinished_model_shrinks_exactly_and_says_so():
    pruned = spp.prune(random_model(3), pruning_ratio=0.5, round_to=1)
    pruner = random_probabilities(pruned, 3)
    pruner.set_probabilities(np.minimum(array(pruner.probabilities()), 0.9))
    with pytest.warns(UserWarning, match=r"groups are still to be pruned; the result is exact"):
        small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= EXACT


def test_a_model_that_is_not_pruned_is_refused():
    with pytest.raises(ValueError, match=r"is not a model that spp\.prune returned"):
        spp.shrink(random_model(0))
    with pytest.raises(TypeError, match="must be a Keras model"):
        spp.shrink("model.keras")


@pytest.mark.parametrize(
    "suffix", [".keras", pytest.param(".h5", marks=SLOW), pytest.param("", marks=[SLOW, TF_KERAS])]
)
def test_the_small_model_saves_and_loads_without_keras_spp(suffix, tmp_path):
    pruned, small = shrunk(random_model(12))
    inputs = inputs_for(small)
    path = tmp_path / f"small{suffix}"
    small.save(path)
    x = {f"x{number}": array for number, array in enumerate(inputs)}
    np.savez(tmp_path / "data.npz", *outputs(pruned, inputs), **x)
    code = (
        f"import sys, numpy as np, {keras.__name__} as keras\n"
        f"model = keras.models.load_model({str(path)!r}, compile=False)\n"
        "assert 'keras_spp' not in sys.modules\n"
        f"data = np.load({str(tmp_path / 'data.npz')!r})\n"
        "found = model.predict_on_batch([data[name] for name in data if name[0] == 'x'])\n"
        "for i, y in enumerate(found if isinstance(found, list) else [found]):\n"
        "    np.testing.assert_allclose(y, data[f'arr_{i}'], rtol=2e-5, atol=1e-5)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_dtypes_regularizers_and_trainable_flags_survive():
    x = keras.Input((8, 8, 3), name="image")
    y = L.Conv2D(16, 3, name="a", kernel_regularizer="l2", bias_constraint="non_neg")(x)
    y = L.BatchNormalization(name="b", momentum=0.7, trainable=False)(y)
    y = L.Conv2D(8, 3, name="between")(y)  # a frozen layer keeps what it reads and makes
    y = L.Conv2D(8, 1, name="c", trainable=False, kernel_initializer="zeros")(y)
    y = L.Dense(4, name="d", dtype="float64")(L.GlobalAveragePooling2D(name="g")(y))
    model = randomize(keras.Model(x, y, name="net"))
    _, small = shrunk(model)
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert small.name == "net" and [tensor.name for tensor in small.inputs] == ["image"]
    resized = {"filters", "units"}
    for old, new in zip(model.layers, small.layers, strict=True):
        assert type(old) is type(new)
        before, after = old.get_config(), new.get_config()
        assert {k: v for k, v in before.items() if k not in resized} == {
            k: v for k, v in after.items() if k not in resized
        }
        assert [w.dtype for w in old.weights] == [w.dtype for w in new.weights]
    assert small.get_layer("a").filters == 8
    assert small.get_layer("a").kernel_regularizer is not None
    assert [w.name for w in model.weights] == [w.name for w in small.weights]


def test_a_ratio_of_zero_removes_nothing():
    model = random_model(5)
    _, small = shrunk(model, pruning_ratio=0.0)
    assert small.count_params() == model.count_params()
    assert relative_error(model, small) <= EXACT


def test_columns_free_their_producers_when_no_reader_is_left():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(4, 3, padding="same", name="a")(x)
    y = L.BatchNormalization()(y)
    y = L.Conv2D(8, 3, name="b")(y)
    model = randomize(keras.Model(x, y))
    pruned = spp.prune(model, {"b": 0.5}, granularity="column", round_to=1)
    (wrapper,) = [w for w in spp.Pruner(pruned).wrappers if w.layer.name == "b"]
    p = np.zeros(wrapper.masked[0].config()["shape"], np.float32)
    p[:, :, :2] = 1  # both columns of two channels at every tap
    wrapper.p.assign(p.reshape(-1))
    wrapper.mask.assign(1 - p.reshape(-1))
    small = spp.shrink(pruned)
    assert small.get_layer("a").filters == 2
    assert small.get_layer("b").kernel.shape == (3, 3, 2, 8)
    assert relative_error(pruned, small) <= EXACT


def test_a_layer_never_loses_its_last_channel():
    x = keras.Input((4, 4, 3))
    model = randomize(keras.Model(x, L.Conv2D(2, 1, name="b")(L.Conv2D(4, 1, name="a")(x))))
    pruned = spp.prune(model, {"b": 0.5}, granularity="column", round_to=1)
    for wrapper in spp.Pruner(pruned).wrappers:
        wrapper.p.assign(np.ones(wrapper.p.shape, "float32"))
        wrapper.mask.assign(np.zeros(wrapper.p.shape, "float32"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = spp.shrink(pruned)
    assert small.get_layer("a").filters == 1
    assert relative_error(pruned, small) <= EXACT


def test_shrinking_leaves_the_pruned_model_as_it_was():
    pruned, _ = shrunk(random_model(9))
    before = [array(w) for w in pruned.weights]
    spp.shrink(pruned)
    assert all((a == array(b)).all() for a, b in zip(before, pruned.weights, strict=True))
