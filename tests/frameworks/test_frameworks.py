import subprocess
import sys
from pathlib import Path

import pytest
import tf_keras

from keras_spp import frameworks
from tests.helpers.sentences import assert_nothing_but_one_sentence


def functional_model(cls=tf_keras.Model):
    inputs = tf_keras.layers.Input((4,))
    return cls(inputs, tf_keras.layers.Dense(2)(inputs), name="net")


class CustomTrainStep(tf_keras.Model):
    def train_step(self, data):
        return {}


class CustomCall(tf_keras.Model):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.dense = tf_keras.layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def model_error(kind, model, **kwargs):
    with pytest.raises(kind) as error:
        frameworks.of(model, **kwargs)
    assert_nothing_but_one_sentence(str(error.value))
    return str(error.value)


def test_functional_and_built_sequential_models_are_accepted():
    frameworks.of(functional_model())
    frameworks.of(functional_model(CustomTrainStep))
    sequential = tf_keras.Sequential([tf_keras.layers.Dense(2)])
    sequential.build((None, 4))
    frameworks.of(sequential)


def test_a_name_whose_package_is_missing_says_so_in_one_sentence():
    program = (
        "import sys; sys.modules['flatbuffers'] = None\n"
        "import keras_spp as spp\n"
        "try: spp.export_tflite\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert_nothing_but_one_sentence(result.stdout.strip())
    assert result.stdout.startswith("keras_spp.export_tflite needs flatbuffers, which is not")


@pytest.mark.parametrize("path", ["net.keras", Path("net.keras")])
def test_a_path_is_told_to_be_loaded_first(path):
    assert model_error(TypeError, path) == (
        "`model` must be a Keras model but is the path 'net.keras': "
        "load it first with spp.load_model('net.keras')."
    )


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (None, "builtins.NoneType"),
        (tf_keras.layers.Dense(2), "tf_keras.src.layers.core.dense.Dense"),
    ],
)
def test_anything_else_is_named_by_its_type(model, kind):
    which = "Keras" if model is None else "tf_keras"
    assert model_error(TypeError, model) == (
        f"`model` must be a {which} model, Sequential or functional, but is a {kind}."
    )


def test_the_message_names_the_argument():
    assert "`dense`" in model_error(TypeError, None, argument="dense")


@pytest.mark.parametrize("called", [False, True])
def test_a_subclassed_model_is_told_to_be_rebuilt_with_the_functional_api(called):
    model = Subclassed()
    if called:
        model(tf_keras.backend.zeros((1, 4)))
    assert model_error(ValueError, model) == (
        "`model` is the subclassed model 'net', whose call() hides how its layers are connected: "
        "rebuild it with the functional API, tf_keras.Model(inputs, outputs)."
    )


def test_a_functional_model_that_overrides_call_counts_as_subclassed():
    assert "subclassed" in model_error(ValueError, functional_model(CustomCall))


def test_an_unbuilt_sequential_is_told_to_be_built():
    model = tf_keras.Sequential([tf_keras.layers.Dense(2)], name="net")
    assert model_error(ValueError, model) == (
        "`model` is the Sequential model 'net' without a known input shape: start it with "
        "tf_keras.layers.Input(shape) or call its build(input_shape) first."
    )
