"""What Keras 3 models are taken for."""

import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.sentences import assert_nothing_but_one_sentence
from tests.zoo.keras3_models import L, randomize

ROOT = Path(__file__).parents[3]
DATA = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype("float32")


def net(name="net"):
    x = inputs = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 3, activation="relu", name="first")(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu", name="second")(x))
    return randomize(keras.Model(inputs, L.Dense(4, name="last")(x), name=name))


def error(kind, function):
    with pytest.raises(kind) as raised:
        function()
    message = str(raised.value)
    assert_nothing_but_one_sentence(message)
    return message


def test_the_model_decides_which_adapter_it_gets():
    tf_keras = pytest.importorskip("tf_keras")
    other = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(2)])
    assert frameworks.of(net()).__name__.endswith("keras3.adapter")
    assert frameworks.of(other).__name__.endswith("tf_keras.adapter")


def test_an_analysis_says_nothing_of_what_it_tries():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, L.Dense(4, activation="softmax")(L.Dense(8)(inputs)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns of a softmax over one channel
        spp.analyze(model)


def test_both_keras_are_compressed_in_one_process():
    tf_keras = pytest.importorskip("tf_keras")
    other = tf_keras.Sequential([
        tf_keras.layers.Input((6, 6, 3)), tf_keras.layers.Conv2D(8, 3),
        tf_keras.layers.Flatten(), tf_keras.layers.Dense(4),
    ])  # fmt: skip
    for model, kind in ((net(), keras.Model), (other, tf_keras.Model)):
        small = spp.compress(model, DATA, pruning_ratio=0.5, round_to=1, verbose=0)
        assert isinstance(small, kind) and small.layers[-1].kernel.shape[-1] == 4
        assert spp.analyze(small).macs < spp.analyze(model).macs


class Subclassed(keras.Model):
    def call(self, x):
        return x


class OwnCall(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


def test_models_without_a_readable_graph_are_refused_in_one_sentence():
    x = keras.Input((4,))
    assert error(ValueError, lambda: frameworks.of(Subclassed(name="net"))) == (
        "`model` is the subclassed model 'net', whose call() hides how its layers are connected: "
        "rebuild it with the functional API, keras.Model(inputs, outputs)."
    )
    assert "subclassed" in error(ValueError, lambda: frameworks.of(OwnCall(x, L.Dense(2)(x))))
    assert error(ValueError, lambda: frameworks.of(keras.Sequential([L.Dense(2)], name="net"))) == (
        "`model` is the Sequential model 'net' without a known input shape: start it with "
        "keras.layers.Input(shape) or call its build(input_shape) first."
    )
    assert "must be a Keras model" in error(TypeError, lambda: frameworks.of(L.Dense(2), "dense"))


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber()])
def test_sensitivity_judges_by_the_loss_of_evaluate(loss):
    model = net()
    targets = np.random.default_rng(1).normal(size=(32, 4)).astype("float32")
    framework = frameworks.of(model)
    computed = framework.compiled_loss(framework.Probe(model).model, framework.find_losses(loss))
    model.compile(loss=loss)
    expected = model.evaluate(DATA, targets, verbose=0)
    assert computed(model(DATA), targets) == pytest.approx(expected, rel=1e-5)
    allocation = spp.Sensitivity(loss, points=2, verbose=0)
    assert spp.prune(
        model, 0.5, round_to=1, allocation=allocation, representative_data=[(DATA, targets)]
    )


def test_a_pruned_and_a_plain_model_are_not_taken_for_each_other():
    model = net()
    pruned = spp.prune(model, 0.5, round_to=1)
    assert "not a model that spp.prune returned" in error(ValueError, lambda: spp.Pruner(model))
    assert "not a model that spp.prune returned" in error(ValueError, lambda: spp.shrink(model))
    assert error(ValueError, lambda: spp.prune(pruned, 0.5)).startswith(
        "`model` 'net' is pruned already"
    )


def test_a_teacher_of_the_other_keras_is_refused():
    tf_keras = pytest.importorskip("tf_keras")
    other = tf_keras.Sequential([tf_keras.layers.Input((6, 6, 3)), tf_keras.layers.Flatten()])
    message = error(TypeError, lambda: spp.distill(net(), other))
    assert message.startswith("`teacher` must be a Keras model, Sequential or functional, but is")


def test_nothing_of_tf_keras_and_tfmot_is_imported_for_a_keras_3_model(tmp_path):
    program = f"FILE = {str(tmp_path / 'm.tflite')!r}\n" + textwrap.dedent("""
        import sys
        import keras, numpy as np, keras_spp as spp
        L = keras.layers
        model = keras.Sequential([
            keras.Input((6, 6, 3)), L.Conv2D(8, 3, use_bias=False), L.BatchNormalization(),
            L.ReLU(), L.Conv2D(8, 3), L.Flatten(), L.Dense(4)])
        data = np.random.default_rng(0).normal(size=(32, 6, 6, 3))
        spp.analyze(model)
        small = spp.compress(model, data, round_to=1, verbose=0)
        spp.compensate(small, model, data)
        spp.reestimate_batch_norm(small, data)
        spp.compress(model, data, allocation=spp.Sensitivity(verbose=0), round_to=1, verbose=0)
        spp.export_tflite(small, FILE, "dynamic", original=model)
        spp.parity(small, FILE, data)
        spp.compare_rounding(model, 1.1, round_to=[1])
        pruned = spp.prune(model, 0.5, round_to=1, schedule=spp.OneShotSchedule())
        distilled = spp.distill(pruned, model)
        distilled.compile("adam", "mse")
        distilled.fit(data, np.zeros((32, 4)), batch_size=4, verbose=0,
                      callbacks=[spp.SPPCallback(), spp.ModelCheckpoint(FILE + ".keras")])
        small = spp.shrink(pruned)
        spp.sliced_optimizer(distilled, small)
        names = {name.partition(".")[0] for name in sys.modules}
        print(sorted(names & {"keras", "tf_keras", "tensorflow_model_optimization"}))
    """)
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "['keras']", result.stderr
