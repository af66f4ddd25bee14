"""A model, the same pruned, and files of both, for all commands."""

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import keras_spp as spp
from keras_spp.cli import main
from tests.zoo.models import L, random_probabilities, randomize


@pytest.fixture(scope="package")
def plain():
    image = keras.Input((12, 12, 3))
    x = L.ReLU()(L.Conv2D(32, 3, name="first")(image))
    x = L.ReLU()(L.Conv2D(32, 3, name="second")(x))
    return randomize(keras.Model(image, L.Dense(4)(L.GlobalAveragePooling2D()(x)), name="net"))


@pytest.fixture(scope="package")
def pruned(plain):
    pruned = spp.prune(plain, target_speedup=2.0, schedule=spp.SPPSchedule(frequency=1), round_to=1)
    random_probabilities(pruned, settled=True)
    return pruned


@pytest.fixture(scope="package")
def folder(tmp_path_factory, plain, pruned):
    folder = tmp_path_factory.mktemp("cli")
    plain.save(folder / "plain.keras")
    pruned.save(folder / "pruned.keras")
    spp.export_tflite(plain, folder / "plain.tflite")
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Runs the command in an empty folder, with {folder} in its arguments filled in."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        arguments = [str(argument).format(folder=folder) for argument in arguments]
        return CliRunner().invoke(main, arguments, prog_name="keras-spp")

    return run


@pytest.fixture
def samples(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 12, 12, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", images=x, labels=np.arange(20) % 4)
    return x
