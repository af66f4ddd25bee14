import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tf_keras

from keras_spp.frameworks.tf_keras import stack
from keras_spp.version import STACK
from tests.helpers.sentences import assert_nothing_but_one_sentence
from tests.helpers.slow import slow_but

ROOT = Path(__file__).parents[2]


# --- the installed stack ---


@pytest.fixture
def installed(monkeypatch):
    """Pretends that these distributions, and no others, are installed."""
    versions = {
        "tensorflow": "2.21.0",
        "tf_keras": "2.21.0",
        "tensorflow-model-optimization": "0.8.1",
    }

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "packages_distributions", dict)
    return versions


def stack_error():
    with pytest.raises(ImportError) as error:
        stack.check()
    assert_nothing_but_one_sentence(str(error.value))
    return str(error.value)


def test_the_stack_of_this_environment_is_accepted():
    stack.check()


@pytest.mark.parametrize("name", STACK)
def test_a_missing_package_is_named_with_its_range_and_the_command_that_installs_it(
    installed, name
):
    del installed[name]
    assert stack_error() == (
        f"keras_spp needs {name}{STACK[name]} which is not installed: "
        f'run `pip install "{name}{STACK[name]}"`.'
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tensorflow", "2.17.1"),
        ("tensorflow", "2.18.0rc1"),
        ("tf_keras", "2.17.0"),
        ("tensorflow-model-optimization", "0.7.5"),
    ],
)
def test_a_version_that_is_too_old_is_named_with_the_command_that_fixes_it(installed, name, found):
    installed[name] = found
    assert stack_error() == (
        f"keras_spp needs {name}{STACK[name]} but found {found}: "
        f'run `pip install "{name}{STACK[name]}"`.'
    )


def test_several_misfits_are_fixed_by_one_command(installed):
    installed["tensorflow"] = "2.17.1"
    del installed["tf_keras"]
    assert stack_error() == (
        "keras_spp needs tensorflow>=2.18,<2.22 but found 2.17.1 and tf_keras>=2.18,<2.22 which "
        'is not installed: run `pip install "tensorflow>=2.18,<2.22" "tf_keras>=2.18,<2.22"`.'
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [("tensorflow-model-optimization", "0.9.0"), ("tensorflow-model-optimization", "1.0.dev1")],
)
def test_a_version_that_nobody_has_tried_is_used_with_a_warning(installed, name, found):
    installed[name] = found
    with pytest.warns(UserWarning) as caught:
        stack.check()
    (warning,) = caught
    assert_nothing_but_one_sentence(str(warning.message))
    assert str(warning.message) == (
        f"keras_spp was tested with {name}{STACK[name]} but found {found}, which is newer: "
        f'if something fails, run `pip install "{name}{STACK[name]}"`.'
    )


def test_what_fails_on_a_python_is_refused_there_alone(installed, monkeypatch):
    installed |= {"tensorflow": "2.18.1", "tf_keras": "2.18.0"}
    monkeypatch.setattr(stack, "sys", SimpleNamespace(version_info=(3, 11, 9)))
    stack.check()
    monkeypatch.setattr(stack, "sys", SimpleNamespace(version_info=(3, 12, 1)))
    assert stack_error() == (
        "keras_spp needs tf_keras>=2.19,<2.22 on Python 3.12 and later but found 2.18.0: "
        'run `pip install "tf_keras>=2.19,<2.22"`.'
    )


@pytest.mark.parametrize("minor", ["2.19", "2.20", "2.21"])
@pytest.mark.parametrize("patch", ["0", "1"])
def test_each_tensorflow_goes_with_the_tf_keras_of_its_minor_version(installed, minor, patch):
    installed |= {"tensorflow": f"{minor}.0", "tf_keras": f"{minor}.{patch}"}
    stack.check()


def test_a_tf_keras_for_another_tensorflow_is_named_with_the_command_that_fixes_it(installed):
    installed |= {"tensorflow": "2.19.1", "tf_keras": "2.21.0"}
    assert stack_error() == (
        "keras_spp needs tf_keras of the minor version of TensorFlow but found tf_keras 2.21.0 "
        'and tensorflow 2.19.1: run `pip install "tf_keras==2.19.*"`.'
    )


@pytest.mark.parametrize("found", ["2.21.0+local", "2.21.1", "2.21.1rc0"])
def test_patch_releases_and_local_builds_are_accepted(installed, found):
    installed["tensorflow"] = found
    stack.check()


def test_a_variant_that_provides_the_tensorflow_module_is_accepted(installed, monkeypatch):
    installed["tensorflow-cpu"] = installed.pop("tensorflow")
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: {"tensorflow": ["tensorflow-cpu"]}
    )
    stack.check()


# --- import orders, each in its own process ---

# What must work in every order: tfmot wraps, trains and strips a tf_keras model, and so does
# keras_spp.
PRUNE = """
import os
import numpy as np
import keras_spp as spp
import tf_keras

model = tf_keras.Sequential(
    [tf_keras.layers.Dense(16, input_shape=(2,)), tf_keras.layers.Dense(1)]
)
pruned = spp.prune(model, 0.5)
pruned.compile("sgd", "mse")
pruned.fit(
    np.ones((64, 2)), np.ones((64, 1)), batch_size=1, callbacks=[spp.SPPCallback()], verbose=0
)
import tensorflow_model_optimization as tfmot
assert isinstance(tfmot.sparsity.keras.strip_pruning(pruned), tf_keras.Sequential)
import tensorflow as tf
which = "tf_keras" if tf.keras.Model is tf_keras.Model else "Keras 3"
print(f"tf.keras is {which}, {os.environ.get('TF_USE_LEGACY_KERAS')}")
"""


def in_a_process(program, legacy=None):
    """What a program prints at last, with TF_USE_LEGACY_KERAS so or unset."""
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    if legacy is not None:
        env["TF_USE_LEGACY_KERAS"] = legacy
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "TF_USE_LEGACY_KERAS" not in result.stderr
    return result.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "imports",
    [
        "",
        pytest.param("import tensorflow as tf; tf.keras.layers", marks=pytest.mark.slow),
        pytest.param("from tensorflow.keras import layers", marks=pytest.mark.slow),
        pytest.param("import keras", marks=pytest.mark.slow),
    ],
)
def test_tf_dot_keras_stays_keras_3_unless_the_user_says_otherwise(imports):
    assert in_a_process(f"{imports}\n{PRUNE}") == "tf.keras is Keras 3, None"


@pytest.mark.parametrize(
    ("legacy", "keras"),
    [("1", "tf_keras"), pytest.param("0", "Keras 3", marks=pytest.mark.slow)],
)
def test_the_variable_that_tf_dot_keras_follows_is_the_users(legacy, keras):
    assert in_a_process(PRUNE, legacy) == f"tf.keras is {keras}, {legacy}"


@pytest.mark.slow
def test_what_tfmot_itself_has_chosen_stays():
    program = f"import tensorflow_model_optimization\n{PRUNE}"
    assert in_a_process(program) == "tf.keras is tf_keras, 1"


def test_importing_keras_spp_imports_no_framework():
    program = """
import sys
import keras_spp as spp
spp.benchmark, spp.Device, dir(spp), spp.__version__
print([name for name in ("tensorflow", "tf_keras", "keras", "jax", "torch") if name in sys.modules])
"""
    assert in_a_process(program) == "[]"


ORDERS = [
    "import keras_spp, tf_keras",
    "import tf_keras, keras_spp",
    "import keras_spp, tensorflow_model_optimization",
]


@pytest.mark.parametrize("imports", slow_but(ORDERS, ORDERS[:1]))
def test_keras_loads_a_pruned_model_in_whatever_order_it_was_imported(tmp_path, imports):
    from keras_spp import SPPSchedule, prune

    layers = [tf_keras.Input((4,)), tf_keras.layers.Dense(16), tf_keras.layers.Dense(2)]
    pruned = prune(tf_keras.Sequential(layers), 0.5, schedule=SPPSchedule(A=0.25))
    paths = [str(tmp_path / name) for name in ("m.keras", "m.h5", "m")]
    for path in paths:
        pruned.save(path)
    program = f"""
{imports}
import tf_keras
models = [tf_keras.models.load_model(path) for path in {paths!r}]
print([model.layers[-1].pruning_schedule.A for model in models])
"""
    assert in_a_process(program) == "[0.25, 0.25, 0.25]"
