"""The README's first example, as printed, in environments that docs/start/install.md has set up.

The wheel is installed, and programs run outside of the repository.
"""

import re
import sys

import pytest

from keras_spp.version import KERAS_3
from tests.helpers.documents import README, ROOT, blocks
from tests.helpers.environments import Environment, need_package_index, run
from tests.helpers.sentences import assert_nothing_but_one_sentence

pytestmark = pytest.mark.slow
EVERYTHING, KERAS_3_ALONE, WITHOUT_TENSORFLOW, *_ = blocks(
    ROOT / "docs" / "start" / "install.md", "sh"
)

# What the example finds: a trained model in a file, and samples.
START = """
import os
before = dict(os.environ)
import keras_spp as spp
assert os.environ == before
import numpy as np
import {keras} as keras

L = keras.layers
samples = np.random.default_rng(0).normal(size=(128, 12, 12, 3)).astype("float32")
model = keras.Sequential([
    keras.Input((12, 12, 3)), L.Conv2D(24, 3, activation="relu"), L.Conv2D(24, 3),
    L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D(), L.Dense(4)])
model.save("model.keras")
"""
EXAMPLE = """
exec(compile({example!r}, "README.md", "exec"))
assert type(small).__module__.startswith({keras!r} + ".src"), type(small)
assert os.path.getsize("small.tflite") > 1000
for name in ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS"):
    assert os.environ.get(name) == before.get(name), name
print(spp.analyze(model).macs / spp.analyze(small).macs)
"""
TRAINING = """
import sys
small = spp.compress(model, samples, target_speedup=2.0, verbose=0)
assert spp.analyze(model).macs >= 2 * spp.analyze(small).macs
pruned = spp.prune(model, target_speedup=2.0, round_to=1)
pruned.compile("sgd", "mse")
pruned.fit(samples, np.zeros((128, 4)), batch_size=8, epochs=4, callbacks=[spp.SPPCallback()],
           verbose=0)
trained = spp.shrink(pruned)
assert spp.analyze(model).macs >= 2 * spp.analyze(trained).macs
np.testing.assert_allclose(trained(samples), pruned(samples), rtol=1e-4, atol=1e-5)
trained.save("trained.keras")
spp.load_model("trained.keras")
try:
    spp.export_tflite(small, "small.tflite")
except ImportError as error:
    assert "tensorflow" not in sys.modules
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    need_package_index()
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT], folder)
    (path,) = folder.iterdir()
    return path


def speedup_of_the_example(environment, keras, **variables):
    """Runs it with one Keras; returns how many times fewer MACs the small model has."""
    example = blocks(README)[0]
    if keras == "tf_keras":
        assert "import tf_keras as keras" in example
        example = re.sub(r"^import keras\b.*$", "import tf_keras as keras", example, flags=re.M)
    program = START.format(keras=keras) + EXAMPLE.format(keras=keras, example=example)
    return float(environment.run(program, **variables))


def test_with_everything_the_example_works_with_both_keras_and_later_with_keras_3_alone(
    wheel, tmp_path
):
    environment = Environment(tmp_path)
    environment.shell(EVERYTHING, wheel)
    assert speedup_of_the_example(environment, "keras") >= 2
    assert speedup_of_the_example(environment, "tf_keras") >= 2
    assert speedup_of_the_example(environment, "tf_keras", TF_USE_LEGACY_KERAS="1") >= 2
    install, uninstall = KERAS_3_ALONE.strip().splitlines()
    assert install in EVERYTHING
    environment.shell(uninstall, wheel)
    assert speedup_of_the_example(environment, "keras") >= 2


def test_without_tensorflow_models_are_pruned_and_what_needs_it_says_so(wheel, tmp_path):
    assert f"keras{KERAS_3}" in WITHOUT_TENSORFLOW
    environment = Environment(tmp_path)
    environment.shell(WITHOUT_TENSORFLOW, wheel)
    program = START.format(keras="keras") + TRAINING
    message = environment.run(program, KERAS_BACKEND="jax")
    assert "export_tflite needs" in message and "TensorFlow among them (`pip install" in message
    assert_nothing_but_one_sentence(message)
    found = "from importlib.util import find_spec as f; print(f('tensorflow'), f('tf_keras'))"
    assert environment.run(found) == "None None"
