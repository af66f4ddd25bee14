"""Promises about tf.distribute: replicas prune alike, and as a single process would."""

import functools
import json
import re
import threading

import numpy as np
import pytest
import tensorflow as tf

import keras_spp as spp
from examples import cluster_cifar10, convnet_cifar10, recipe
from tests.helpers import distributed
from tests.helpers.training import conv_net, prune
from tests.zoo.models import randomize

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
slow = pytest.mark.slow


@functools.cache
def single(name):
    """What one process without a strategy makes of a case."""
    return distributed.trained(name, distributed.CASES[name]())


def found(folder, name):
    """What each worker has left."""
    paths = sorted(folder.glob(f"{name}-*.npz"))
    return [dict(np.load(path)) for path in paths]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder that a run has filled; processes are started once for several tests."""

    @functools.cache
    def run(workers, *programs):
        programs += ("disagree",) if (workers, programs) == (2, ("by_column",)) else ()
        return distributed.run(workers, tmp_path_factory.mktemp("runs") / "run", *programs)

    return run


def assert_alike(workers, replicas):
    """After every step all replicas of all workers have the same bits."""
    hashes = np.concatenate([each["hashes"] for each in workers], axis=1)
    assert hashes.shape == (distributed.STEPS, replicas)
    differ = np.flatnonzero((hashes != hashes[:, :1]).any(1))
    assert not len(differ), f"replicas differ after step {differ[0] + 1}"
    assert len(set(hashes[:, 0])) == distributed.STEPS


def assert_pruned_as_by(expected, worker):
    """Up to rounding the same p after every step, and the same variables at the end."""
    np.testing.assert_allclose(worker["p"], expected["p"], atol=1e-5)
    dead = (worker["p"] >= 1).sum(1)
    assert dead[0] == 0 < dead[-1] and len(set(dead)) > 2, dead
    for name, value in expected.items():
        if name.startswith("variable"):
            np.testing.assert_allclose(worker[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


ALL = ("by_channel", "by_column", "synchronized", "distilled")


@pytest.mark.parametrize(
    ("workers", "names"),
    [
        pytest.param(0, ("by_channel", "compensated"), id="mirrored"),
        pytest.param(0, ALL[1:], id="mirrored-others", marks=slow),
        pytest.param(2, ALL, id="two-workers-all", marks=slow),
        pytest.param(4, ALL, id="four-workers-all", marks=slow),
    ],
)
def test_replicas_hold_the_same_bits_and_prune_like_a_single_process(workers, names, runs):
    folder = runs(workers, *names)
    for name in names:
        each = found(folder, name)
        assert len(each) == max(workers, 1)
        assert_alike(each, workers or 2)
        assert_pruned_as_by(single(name), each[0])
        assert len(list((folder / "logs" / name).iterdir())) == 1, "not only the chief has logged"


@pytest.mark.parametrize("workers", [pytest.param(0, id="mirrored"), pytest.param(2, id="workers")])
@slow
def test_with_statistics_of_their_own_replicas_are_alike_but_not_like_one_process(
    workers, tmp_path
):
    each = found(distributed.run(workers, tmp_path / "run", "normalised"), "normalised")
    assert_alike(each, 2)
    with pytest.raises(AssertionError):
        assert_pruned_as_by(single("normalised"), each[0])


@pytest.mark.parametrize("workers", [pytest.param(0, id="mirrored"), pytest.param(2, id="workers")])
@slow
def test_what_is_done_before_and_after_training_works_in_the_scope_and_outside(workers, tmp_path):
    distributed.run(workers, tmp_path / "run", "around")


def test_synchronized_normalisation_stays_so_when_it_is_pruned_and_shrunk():
    dense = conv_net(synchronized=True)
    pruned = prune(dense)
    with pytest.warns(UserWarning, match="groups are still to be pruned"):
        small = spp.shrink(pruned)
    for model in (dense, pruned, small):
        layer = model.get_layer("normalisation")
        assert layer.synchronized and not layer.fused


# -- what has to be the same everywhere ----------------------------------------------------------


@pytest.mark.slow
def test_workers_that_are_not_alike_are_told_before_they_train(runs):
    folder = runs(2, "by_column")
    first, second = (json.loads((folder / f"said-{index}.json").read_text()) for index in (0, 1))
    assert first == second
    assert "`original` must be None under a MultiWorkerMirroredStrategy" in first.pop("compensated")
    expected = {
        "seed": "groups to prune or schedules",
        "goals": "groups to prune or schedules",
        "schedule": "groups to prune or schedules",
        "weights": "weights",
        "steps made": "training steps made",
        "steps to come": "training steps to come",
    }
    assert first.keys() == expected.keys()
    for name, what in expected.items():
        assert f"but the {what} of replicas [1] differ from those of replica 0: " in first[name]
        assert first[name].endswith(".") and "\n" not in first[name]


# -- a worker that dies --------------------------------------------------------------------------


def restarted(environment, folder, lives):
    """What a job manager does: starts a worker again until it ends well."""
    for _ in range(5):
        process = distributed.start(environment, folder, "resume")
        try:
            lives.append(process.wait(timeout=400))
        finally:
            process.kill()
        if lives[-1] == 0:
            return


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "undisturbed"
    return found(distributed.run(2, folder, "resume"), "last")


@slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_is_killed_and_comes_back_changes_no_bit(victim, undisturbed, tmp_path):
    (tmp_path / f"kill-{victim}").touch()
    lives = [[], []]
    watching = [
        threading.Thread(target=restarted, args=(environment, tmp_path, lives[index]))
        for index, environment in enumerate(distributed.environments(2))
    ]
    for thread in watching:
        thread.start()
    for thread in watching:
        thread.join()
    assert lives[victim][0] == -9 and [each[-1] for each in lives] == [0, 0], lives
    for worker in found(tmp_path, "last"):
        for name, value in undisturbed[0].items():
            np.testing.assert_array_equal(worker[name], value, name)


# -- the example ---------------------------------------------------------------------------------

EXAMPLE = """
import functools, sys
import tensorflow_datasets as tfds
from examples import cluster_cifar10, images, recipe
import keras_spp as spp

# TensorFlow takes a generator that nobody reads to its end for one that is over, and caches that.
images.CACHED_BYTES = 0
schedule = spp.SPPSchedule(A=1.0, frequency=1)
recipe.spp.prune = functools.partial(spp.prune, schedule=schedule)
with tfds.testing.mock_data(num_examples=16):
    cluster_cifar10.main([*sys.argv[2:], "--output", sys.argv[1]])
"""


@slow
def test_the_same_command_gives_the_same_small_network_on_a_laptop_and_on_a_cluster(tmp_path):
    randomize(convnet_cifar10.convnet(32, 10)).save(tmp_path / "dense.keras")
    arguments = ["--data-dir", str(tmp_path), "--model", str(tmp_path / "dense.keras")]
    arguments += ["--epochs=2", "--steps-per-epoch=4", "--batch-size=4", "--learning-rate=1e-3"]
    folders = [
        distributed.run(workers, tmp_path / str(workers), *arguments, script=("-c", EXAMPLE))
        for workers in (0, 2)
    ]
    for folder in folders:
        assert len(list((folder / "logs").iterdir())) == 1
        assert (folder / "small.tflite").exists()
    laptop, cluster = (tf.keras.models.load_model(each / "small.keras") for each in folders)
    assert laptop.count_params() < convnet_cifar10.convnet(32, 10).count_params()
    for mine, other in zip(laptop.weights, cluster.weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-6, err_msg=mine.name)


def test_the_examples_command_is_understood():
    (command,) = re.findall(r"cluster_cifar10 (.*)", cluster_cifar10.RECIPE.description)
    assert recipe.parse(cluster_cifar10.RECIPE, command.split()).data_dir == "DIR"


# -- strategies that do not work so --------------------------------------------------------------


def test_strategies_whose_replicas_share_variables_are_refused(runs):
    said = json.loads((runs(0, "shared") / "shared.json").read_text())
    assert len(said) == 6
    for name, message in said.items():
        (strategy, _) = name.split()
        assert message == (
            "The distribution strategy must be MirroredStrategy or MultiWorkerMirroredStrategy but "
            f"is {strategy}, whose replicas share one copy of the pruning probabilities and would "
            "change it while others read it."
        )


@slow
def test_a_strategy_of_one_device_prunes_like_none():
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        pruned = distributed.by_channel()
    assert_pruned_as_by(single("by_channel"), distributed.trained(pruned))
    assert spp.Pruner(pruned).progress().finished
