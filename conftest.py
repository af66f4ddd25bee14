"""Runs before any test module: environment first, then TensorFlow, where it is installed.

`KERAS_BACKEND=jax python -m pytest` runs the tests of Keras 3 alone: the others would say what they
have said on TensorFlow. Those of them that `make test-torch` names run without TensorFlow, too.
"""

import gc
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# TensorFlow turns these kernels on of itself on some processors only; channels_first needs them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# To compile what small networks compute takes JAX longer than to compute it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

from pathlib import Path

import hypothesis
import pytest

from tests.helpers import both_keras
from tests.helpers.both_keras import BACKEND, BOTH, HAS_TENSORFLOW, IDS
from tests.helpers.warm_quantizer import Warm

if HAS_TENSORFLOW:
    import tensorflow as tf
    import tf_keras

OF_KERAS_3 = Path(__file__).parent / "tests/frameworks/keras3"

# Share the cores among the xdist workers: by default each would start one thread per core.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if HAS_TENSORFLOW and WORKERS > 1:
    tf.config.threading.set_intra_op_parallelism_threads(max(1, (os.cpu_count() or 1) // WORKERS))

gc.freeze()  # a million objects that stay: looking through them again and again takes minutes

# TensorFlow traces on the first example, which makes any deadline meaningless.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


def pytest_collection_modifyitems(config, items):
    """Leaves out Keras 3 where tf_keras alone is meant, and all else on another backend."""

    def is_wanted(item):
        running = item.callspec.params.get("keras") if hasattr(item, "callspec") else None
        if item.get_closest_marker("tf_keras"):
            return running == "tf_keras"
        return BACKEND == "tensorflow" or running == "keras" or OF_KERAS_3 in item.path.parents

    left_out = {item for item in items if not is_wanted(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(params=BOTH, ids=IDS.get)
def keras(request):
    """One Keras after the other, with the same weights and names of layers in every test."""
    with both_keras.running(request.param) as module:
        yield module


@pytest.fixture(autouse=True)
def _fresh_keras_session():
    """Makes weights and automatic layer names the same in whatever order the tests run."""
    if not HAS_TENSORFLOW:
        yield
        return
    tf_keras.utils.set_random_seed(0)
    yield
    tf_keras.backend.clear_session()


@pytest.fixture(autouse=True, scope="module")
def _freed_soon():
    """Frees a module's graphs at its end: those of many modules at once take up to a minute."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def small_file(tmp_path_factory) -> Path:
    """A TFLite file with one input and one operation."""
    from keras_spp.export.tflite import export_tflite

    path = tmp_path_factory.mktemp("small_file") / "m.tflite"
    export_tflite(
        tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)]), path, pack=False
    )
    return path


@pytest.fixture(scope="session")
def _warm_process():
    process = Warm()
    yield process
    process.stop()


@pytest.fixture
def warm_quantizer(_warm_process, monkeypatch):
    """Files of integers without waiting for TensorFlow's import each time."""
    from keras_spp.export import quantizer

    monkeypatch.setattr(quantizer, "subprocess", _warm_process)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with cifar10/ and models/, for tests on a real network."""
    if "KERAS_SPP_DATA" not in os.environ:
        pytest.skip("KERAS_SPP_DATA is not set")
    path = Path(os.environ["KERAS_SPP_DATA"])
    assert path.is_dir(), f"KERAS_SPP_DATA={path} is not a folder"
    return path
