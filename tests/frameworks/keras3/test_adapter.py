"""What Keras 3 models are taken for, and what is said of what they cannot do yet."""

import subprocess
import sys
import textwrap
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


@pytest.mark.parametrize(
    ("what", "function"),
    [
        ("distillation", lambda model: spp.distill(model, model)),
        ("exporting it", lambda model: spp.export_tflite(model, "unused.tflite")),
        (
            "timing it on a device",
            lambda model: spp.compress(model, DATA, target_latency=0.5, round_to=1, verbose=0),
        ),
    ],
)
def test_what_is_not_there_yet_is_said_in_one_sentence(what, function):
    message = error(TypeError, lambda: function(net()))
    assert message.partition(": ")[0].endswith(
        f"must be a tf_keras model for {what} but is a Keras 3 Functional"
    )


def test_a_loss_cannot_be_judged_by_yet():
    allocation = spp.Sensitivity(loss="mse", verbose=0)
    targets = np.zeros((32, 4))
    message = error(
        NotImplementedError,
        lambda: allocation.prepare(net(), groups(net()), [(DATA, targets)]),
    )
    assert message == "`loss` must be None for a Keras 3 model, whose outputs are compared instead."


def groups(model):
    from keras_spp.pruning.network import label

    return label(model).groups


def test_nothing_of_tf_keras_and_tfmot_is_imported_for_a_keras_3_model():
    program = """
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
        names = {name.partition(".")[0] for name in sys.modules}
        print(sorted(names & {"keras", "tf_keras", "tensorflow_model_optimization"}))
    """
    result = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "['keras']", result.stderr
