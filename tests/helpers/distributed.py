"""What tests/test_distribution.py runs in other processes, and how it starts them.

    python distributed.py FOLDER PROGRAM...

With TF_CONFIG in the environment a process is one worker of a MultiWorkerMirroredStrategy, without
it is a MirroredStrategy on two logical processors. What a program finds, it leaves in the folder.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.variables import copies
from tests.helpers.training import compiled, conv_net, data, fit, plain_net, prune, sgd, state

BATCH = 8  # of all replicas together
STEPS = 30


# -- in the test's process -----------------------------------------------------------------------


def environments(workers):
    """The environment of each worker, of none for a single process with several replicas."""
    base = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "1"}
    base.pop("TF_CONFIG", None)
    if not workers:
        return [base]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    cluster = {"worker": [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]}
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    return [base | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def start(environment, folder, *programs, script=(__file__,)):
    """A process that writes what it says to a file in the folder."""
    index = json.loads(environment.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
    with open(folder / f"output-{index}", "a") as output:
        command = [sys.executable, *script, folder, *programs]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def run(workers, folder, *programs, **options):
    """Runs programs in so many workers, or in one process with two replicas."""
    folder.mkdir()
    processes = [start(each, folder, *programs, **options) for each in environments(workers)]
    try:
        codes = [process.wait(timeout=500) for process in processes]
    finally:
        for process in processes:
            process.kill()
    said = [(folder / f"output-{index}").read_text()[-2000:] for index in range(len(processes))]
    assert not any(codes), "\n".join(said)
    return folder


# -- in both -------------------------------------------------------------------------------------


class Recorder(keras.callbacks.Callback):
    """After every step a hash of all bits of each local replica, and all p."""

    def __init__(self):
        super().__init__()
        self.hashes, self.p = [], []

    def on_train_batch_end(self, batch, logs=None):
        replicas = [copies(variable) for variable in variables(self.model)]
        hashes = [hashlib.sha256() for _ in replicas[0]]
        for values in replicas:
            for found, value in zip(hashes, values, strict=True):
                found.update(value.numpy().tobytes())
        self.hashes.append([found.hexdigest() for found in hashes])
        self.p.append(spp.Pruner(self.model).probabilities().numpy())


def variables(model):
    """All that replicas share: not the statistics that each of them gathers from its own part."""
    on_read = tf.VariableSynchronization.ON_READ
    everything = [*model.weights, *model.optimizer.variables]
    return [each for each in everything if copies(each)[0].synchronization != on_read]


def by_channel():
    return compiled(prune(plain_net()), sgd(0.02, momentum=0.9))


def by_column():
    """The target is reached, and pruning ended by the callback, before all goals are met."""
    schedule = spp.SPPSchedule(A=0.5, frequency=1, score="taylor")
    options = {"granularity": "column", "schedule": schedule, "round_to": 1}
    return compiled(spp.prune(plain_net(), target_speedup=1.6, **options), sgd(0.02, momentum=0.9))


def synchronized():
    return compiled(prune(conv_net(synchronized=True)), sgd(0.02, momentum=0.9))


def normalised():
    """Each replica normalises with the statistics of its part of a batch."""
    return compiled(prune(conv_net()), sgd(0.02, momentum=0.9))


def distilled():
    distance = {"loss": lambda a, b: tf.reduce_mean((a - b) ** 2, -1)}
    pruned = prune(plain_net())
    return compiled(spp.distill(pruned, plain_net(), **distance), keras.optimizers.Adam(0.01))


def compensated():
    """What remains is solved for when the last group is decided."""
    return by_channel()


CASES = {
    each.__name__: each
    for each in (by_channel, by_column, synchronized, distilled, normalised, compensated)
}


def makes_up():
    """What the callback takes to compensate."""
    return {"original": plain_net(), "representative_data": data(8, seed=1)[0]}


def trained(name, model, log_dir=None):
    """Trains it; returns what was recorded, and its state at the end, as arrays."""
    recorder, options = Recorder(), makes_up() if name == "compensated" else {}
    fit(model, STEPS, [spp.SPPCallback(log_dir, **options), recorder], batch=BATCH)
    last = {f"variable {i:03}": value for i, (_, value) in enumerate(state(model))}
    return {"hashes": np.array(recorder.hashes), "p": np.array(recorder.p), **last}


# -- in the processes that it starts -------------------------------------------------------------


def train(strategy, folder, index, name):
    with strategy.scope():
        model = CASES[name]()
    np.savez(folder / f"{name}-{index}.npz", **trained(name, model, folder / "logs" / name))


def disagree(strategy, folder, index):
    """Workers that are not alike in one thing; each writes what it was told."""
    said, model = {}, plain_net()

    def refused(name, steps=5, change=lambda pruned: None, callback=None, **options):
        with strategy.scope():
            pruned = compiled(prune(model, **options))
            change(pruned)
        try:
            callbacks = [callback or spp.SPPCallback()]
            fit(pruned, 10, callbacks, batch=BATCH, steps_per_epoch=steps)
        except ValueError as error:
            said[name] = str(error)

    def count_a_step(pruned):
        pruned.optimizer.iterations.assign(index)

    def change_a_weight(pruned):
        head = pruned.get_layer("head").layer
        head.bias.assign(head.bias + 1e-6 * index)

    refused("seed", seed=index)
    refused("goals", goal={"stem": 0.5, "inner": 0.25 * (1 + index)})
    refused("schedule", A=0.3 + 0.1 * index)
    refused("weights", change=change_a_weight)
    refused("steps made", change=count_a_step)
    refused("steps to come", steps=5 + index)
    refused("compensated", callback=spp.SPPCallback(**makes_up()))
    (folder / f"said-{index}.json").write_text(json.dumps(said))


def around(strategy, folder, index):
    """What is done before and after training gives the same in the strategy's scope as outside."""
    with strategy.scope():
        dense = conv_net()
    x = data(4)[0]
    judges = spp.Search(trials=6), spp.Fisher(passes=4), spp.PCA(), spp.Sensitivity(points=3)
    for allocation in judges:
        options = {"allocation": allocation, "representative_data": x, "round_to": 1}
        outside = spp.Pruner(spp.prune(dense, target_speedup=1.5, **options)).sets.goal
        with strategy.scope():
            inside = spp.Pruner(spp.prune(dense, target_speedup=1.5, **options)).sets.goal
        np.testing.assert_array_equal(inside, outside, type(allocation).__name__)

    with strategy.scope():
        pruned = normalised()
    fit(pruned, STEPS, batch=BATCH)
    small = spp.shrink(pruned)
    with strategy.scope():
        trainable = spp.shrink(pruned)
        trainable.compile(spp.sliced_optimizer(pruned, trainable), "mse")
    for each in (small, trainable):
        np.testing.assert_allclose(each(x), pruned(x, training=False), rtol=1e-4, atol=1e-6)
        spp.reestimate_batch_norm(each, x)
    np.testing.assert_allclose(small(x), trainable(x), rtol=1e-4, atol=1e-6)
    assert np.abs(small(x) - pruned(x, training=False)).max() > 1e-3
    for mine, other in zip(pruned.optimizer.variables, trainable.optimizer.variables, strict=True):
        assert "iteration" not in mine.name or int(mine.numpy()) == int(other.numpy()) == STEPS
    x, y = data(5, BATCH)
    trainable.fit(x, y, batch_size=BATCH, verbose=0)
    assert len({each.numpy().tobytes() for each in copies(trainable.layers[1].kernel)}) == 1

    with strategy.scope():
        pruned.save(folder / f"{index}.keras")
        loaded = keras.models.load_model(folder / f"{index}.keras")
    fit(loaded, 5, batch=BATCH, start=STEPS)
    fit(pruned, 5, batch=BATCH, start=STEPS)
    for mine, other in zip(variables(pruned), variables(loaded), strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy(), mine.name)


def resume(strategy, folder, index):
    """Is killed once if the folder holds its number, and then goes on from the last backup."""

    class Die(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            step = int(self.model.optimizer.iterations.numpy())
            if step == 28 and (folder / f"kill-{index}").exists():
                (folder / f"kill-{index}").unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    with strategy.scope():
        # Its frequency is chosen from the number of steps, by the first life alone.
        pruned = compiled(
            prune(plain_net(), A=0.5, frequency=None, score="taylor"), sgd(0.02, momentum=0.9)
        )
    backup = spp.BackupAndRestore(folder / "backup")
    fit(pruned, 20, [spp.SPPCallback(), Die(), backup], batch=BATCH, epochs=3)
    assert spp.Pruner(pruned).progress().finished
    last = {f"{i:03}": value for i, (_, value) in enumerate(state(pruned))}
    np.savez(folder / f"last-{index}.npz", **last)


def parameter_servers():
    """A cluster of servers in this process."""
    addresses = json.loads(environments(3)[0]["TF_CONFIG"])["cluster"]["worker"]
    cluster = tf.train.ClusterSpec({"worker": addresses[:2], "ps": addresses[2:]})
    for job, index in (("worker", 0), ("worker", 1), ("ps", 0)):
        tf.distribute.Server(cluster, job_name=job, task_index=index)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc")
    return tf.distribute.ParameterServerStrategy(resolver)


def shared(strategy, folder, index):
    """Strategies that keep one copy of each variable, which all replicas change."""
    others = (parameter_servers(), tf.distribute.experimental.CentralStorageStrategy())
    prune(plain_net()).save(folder / "pruned.keras")
    said = {}
    for other in others:

        def refused(name, call, other=other):
            try:
                call()
            except ValueError as error:
                said[f"{type(other).__name__.removesuffix('V2')} {name}"] = str(error)

        with other.scope():
            dense = plain_net()
            refused("prune", lambda dense=dense: prune(dense))
            pruned = compiled(keras.models.load_model(folder / "pruned.keras"))
        refused("Pruner", lambda pruned=pruned: spp.Pruner(pruned))
        refused("fit", lambda pruned=pruned: fit(pruned, 5, steps_per_epoch=5))
    (folder / "shared.json").write_text(json.dumps(said))


PROGRAMS = {each.__name__: each for each in (disagree, around, resume, shared)}


def main(folder, *programs):
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        index = strategy.cluster_resolver.task_id
    else:
        (processor,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, two)
        strategy, index = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), 0
    for name in programs:
        keras.utils.set_random_seed(0)
        if name in CASES:
            train(strategy, Path(folder), index, name)
        else:
            PROGRAMS[name](strategy, Path(folder), index)


if __name__ == "__main__":
    main(*sys.argv[1:])
