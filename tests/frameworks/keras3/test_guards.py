"""What goes wrong in the training of a pruned Keras 3 model is said; what cannot be is refused."""

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.channels import Reason
from keras_spp.frameworks.keras3 import distribution, private
from tests.helpers.keras3 import assert_equal
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.states import assert_same_state
from tests.helpers.training_keras3 import (
    BACKEND,
    compiled,
    conv_net,
    dead_weights,
    dense_net,
    fit,
    prune,
    read,
    samples,
    state,
)
from tests.helpers.wrappers import find_wrappers
from tests.zoo.keras3_models import L, randomize

pytestmark = pytest.mark.filterwarnings(
    "ignore:SPP has not met", "ignore:SPP will not reach", "ignore:shrink"
)
ROOT = Path(__file__).parents[3]


# -- NaN -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True])
def test_nan_in_the_data_stops_training_before_an_update_decides_by_it(jit):
    if jit and BACKEND == "torch":
        pytest.skip("takes a compiler for C++")
    pruned = compiled(prune(frequency=2), jit_compile=jit)
    x, y = samples(pruned, 48)
    y[4 * 5 :] = np.nan  # from the sixth step on
    with pytest.raises(FloatingPointError, match=r"stopped at step 6, .* layer 'a' hold"):
        pruned.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[spp.SPPCallback()])
    for look in (spp.shrink, lambda model: spp.Pruner(model).progress()):
        with pytest.raises(FloatingPointError, match="stopped at step 6"):
            look(pruned)
    with pytest.raises(FloatingPointError, match="SPP cannot go on at step"):
        fit(pruned, 3)
    assert all(np.isfinite(read(w.p)).all() for w in find_wrappers(pruned))


def test_training_goes_on_after_sound_weights_are_back():
    pruned = compiled(prune(frequency=2))
    spp.Pruner(pruned)
    x, y = samples(pruned, 4)
    pruned.train_on_batch(x, y)
    sound = pruned.get_weights()
    for _ in range(3):
        pruned.train_on_batch(x, y * np.nan)
    with pytest.raises(FloatingPointError):
        spp.Pruner(pruned).progress()
    pruned.set_weights(sound)
    fit(pruned, 60)
    assert spp.Pruner(pruned).progress().finished


# -- frozen layers -------------------------------------------------------------------------------


def test_layers_frozen_after_prune_are_left_alone_and_told_of():
    pruned = prune()
    pruned.get_layer("b").trainable = False
    before = read(pruned.get_layer("b").layer.kernel)
    compiled(pruned, "adam")
    with pytest.warns(UserWarning, match="frozen layers read the channels of .*'a'"):
        fit(pruned, 30)
    np.testing.assert_array_equal(before, read(pruned.get_layer("b").layer.kernel))
    progress = spp.Pruner(pruned).progress()
    assert (progress.pruned, progress.finished) == (3, False)
    pruned.get_layer("b").trainable = True
    fit(compiled(pruned, "adam"), 30)
    assert spp.Pruner(pruned).progress().finished


def test_layers_frozen_before_prune_keep_what_they_read_and_make():
    model = conv_net()
    model.get_layer("inner").trainable = False
    pruned = compiled(prune(model), "adam")
    assert [wrapper.name for wrapper in find_wrappers(pruned)] == ["head"]
    x, _ = samples(pruned, 4)
    fit(pruned, 30)
    assert spp.Pruner(pruned).progress().finished
    for layer in (pruned.get_layer("inner"), spp.shrink(pruned).get_layer("inner")):
        np.testing.assert_array_equal(read(layer.kernel), read(model.get_layer("inner").kernel))
    assert_equal([read(pruned(x))], [read(spp.shrink(pruned)(x))])


# -- logs ----------------------------------------------------------------------------------------


def test_log_dir_needs_tensorflow_and_gets_scalars_and_histograms(tmp_path):
    pruned = compiled(prune())
    try:
        import tensorflow as tf
    except ImportError:
        with pytest.raises(ImportError, match="`log_dir` needs TensorFlow") as error:
            fit(pruned, 20, [spp.SPPCallback(log_dir=tmp_path / "run")])
        assert_one_sentence(error)
        fit(pruned, 20)
        return
    fit(pruned, 20, [spp.SPPCallback(log_dir=tmp_path / "run")])
    (file,) = (tmp_path / "run").iterdir()
    tags = set()
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        tags |= {value.tag for value in event.summary.value}
    assert tags == {
        *("spp/macs_speedup", "spp/groups_decided", "spp/mean_p"), *("spp/p/a", "spp/p/b"),
    }  # fmt: skip


# -- several devices -----------------------------------------------------------------------------


REFUSED = r"trained on several devices, which is not supported for Keras 3: train it on one"


@pytest.fixture
def spread_model():
    """Sets how models that are made from now on are spread over devices."""
    yield keras.distribution.set_distribution
    keras.distribution.set_distribution(None)


@pytest.mark.skipif(BACKEND != "jax", reason="the one backend where Keras tells its devices")
def test_a_distribution_of_keras_is_refused(spread_model):
    dense, pruned = dense_net(), compiled(prune())
    spread_model(keras.distribution.DataParallel(devices=["cpu:0"]))
    for act in (lambda: prune(dense), lambda: fit(pruned, 3), lambda: spp.Pruner(pruned)):
        with pytest.raises(ValueError, match=REFUSED) as error:
            act()
        assert_one_sentence(error)


def test_replicas_are_refused(monkeypatch):
    dense, pruned = dense_net(), compiled(prune())
    monkeypatch.setattr(private, "replicas", lambda model=None: 2)
    for act in (lambda: prune(dense), lambda: fit(pruned, 3)):
        with pytest.raises(ValueError, match=REFUSED) as error:
            act()
        assert_one_sentence(error)


def test_the_mode_of_jax_whose_steps_are_of_the_class_is_refused(monkeypatch):
    monkeypatch.setattr(private, "is_nnx_enabled", lambda: True)
    with pytest.raises(ValueError, match="NNX mode of JAX, which passes by what prunes") as error:
        distribution.require_copies()
    assert_one_sentence(error)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="a strategy of TensorFlow")
def test_mirrored_strategy_is_refused_and_one_device_is_not():
    result = run("""
        import tensorflow as tf
        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from tests.helpers.training_keras3 import *
        for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
            with tf.distribute.MirroredStrategy(devices).scope():
                try:
                    fit(compiled(prune()), 30)
                    print("trained")
                except ValueError as error:
                    print("several devices" in str(error))
    """)
    assert result.stdout.split() == ["trained", "True"], result.stderr[-3000:]


# -- layers that compute with more than their own weights ------------------------------------------


def adapted_net(adapt):
    x = inputs = keras.Input((4,))
    x = L.Dense(8, "tanh", name="first")(x)
    x = L.Dense(8, "tanh", name="adapted")(x)
    x = L.Dense(8, "tanh", name="third")(x)
    x = L.Dense(8, "tanh", name="fourth")(x)
    model = randomize(keras.Model(inputs, L.Dense(2, name="last")(x)))
    adapt(model.get_layer("adapted"))
    return model


ADAPTED = {
    "int8": lambda layer: layer.quantize("int8"),
    "int4": lambda layer: layer.quantize("int4"),
    "lora": lambda layer: layer.enable_lora(2),
}


@pytest.mark.parametrize("how", ADAPTED)
def test_quantized_layers_and_those_with_lora_are_left_alone_with_the_reason(how):
    model = adapted_net(ADAPTED[how])
    reasons = {row.layer: row.reason or "" for row in spp.analyze(model)}
    assert Reason.ADAPTED.value in reasons["first"] and Reason.ADAPTED.value in reasons["adapted"]
    before = state(model, optimizer=False)
    pruned = compiled(prune(model, A=0.5), keras.optimizers.SGD(0.01))
    assert {wrapper.name for wrapper in find_wrappers(pruned)} == {"fourth", "last"}
    fit(pruned, 20)
    assert spp.Pruner(pruned).progress().finished
    small = spp.shrink(pruned)
    x, _ = samples(pruned, 8)
    assert_equal([read(pruned(x))], [read(small(x))])
    assert type(small.get_layer("adapted")) is L.Dense
    assert_same_state(before, state(model, optimizer=False))


@pytest.mark.parametrize("how", ADAPTED)
def test_a_layer_that_is_adapted_after_prune_is_refused(how):
    pruned = compiled(prune())
    fit(pruned, 6)
    ADAPTED[how](pruned.get_layer("b").layer)
    for act in (spp.Pruner, spp.shrink):
        with pytest.raises(ValueError, match=r"'b' .* after spp\.prune") as error:
            act(pruned)
        assert_one_sentence(error)


# -- nothing of the other Keras --------------------------------------------------------------------


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={
            "PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2",
            "KERAS_BACKEND": BACKEND,
        },
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_nothing_of_tf_keras_and_tfmot_is_imported_to_prune():
    result = run("""
        import sys, tempfile
        import keras_spp as spp
        from tests.helpers.training_keras3 import *
        pruned = compiled(prune())
        fit(pruned, 20, [spp.SPPCallback(), spp.BackupAndRestore(tempfile.mkdtemp())])
        spp.shrink(pruned)
        names = {name.partition(".")[0] for name in sys.modules}
        print(sorted(names & {"keras", "tf_keras", "tensorflow_model_optimization"}))
    """)
    assert result.stdout.strip() == "['keras']", result.stderr[-3000:]


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None, reason="Keras itself imports it if it can"
)
def test_tensorflow_is_not_imported_on_other_backends():
    result = run("""
        import sys
        from tests.helpers.training_keras3 import *
        pruned = compiled(prune())
        fit(pruned, 20)
        spp.shrink(pruned)
        print("tensorflow" in sys.modules)
    """)
    assert result.stdout.strip() == "False", result.stderr[-3000:]


def test_pruned_weights_stay_zero_when_training_goes_on_elsewhere_and_comes_back():
    """`compile` with another optimizer, whose moments know nothing of what is pruned."""
    pruned = compiled(prune(A=0.5))
    fit(pruned, 20)
    gone = dead_weights(pruned).size
    fit(compiled(pruned, keras.optimizers.AdamW(0.1, weight_decay=0.5)), 5)
    assert dead_weights(pruned).size == gone and not dead_weights(pruned).any()
