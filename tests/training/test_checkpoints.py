"""Checkpoints that are damaged or foreign are refused, and good ones are never overwritten."""

import contextlib
import resource
import shutil

import h5py
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, conv_net, fit, prune, settled, sgd, state


def adam():
    return keras.optimizers.Adam(0.01)


class Interrupt(keras.callbacks.Callback):
    """Ends `fit` at the beginning of an epoch, after the backup of the one before."""

    def __init__(self, epoch=1):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def started(model, folder):
    """A callback that has restored what there was."""
    callback = spp.BackupAndRestore(folder)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def backed_up(model, folder):
    """Leaves the backup of a run that was interrupted after eight steps."""
    callback = started(model, folder)
    model.optimizer.iterations.assign(8)
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    """What an interrupted run has left: checkpoint 2."""
    folder = tmp_path_factory.mktemp("backup")
    keras.utils.set_random_seed(0)
    callbacks = [spp.SPPCallback(), spp.BackupAndRestore(folder), Interrupt(2)]
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(prune(), adam()), 4, callbacks, epochs=6)
    return folder


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense")
    backed_up(compiled(conv_net(), adam()), folder)
    return folder


@pytest.fixture
def copy(backup, tmp_path):
    return shutil.copytree(backup, tmp_path / "backup")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return compiled(prune(), adam())


def refusal(model, folder):
    """The sentence with which the callback refuses to go on, having left the files alone."""
    before = files(folder)
    with pytest.raises(ValueError) as error:
        started(model, folder)
    assert files(folder) == before
    return assert_one_sentence(error, 700)


# -- damaged -------------------------------------------------------------------------------------

DAMAGE = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one byte other": lambda content: content[:100] + bytes([content[100] ^ 255]) + content[101:],
    "missing": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["ckpt-2.index", "ckpt-2.data-00000-of-00001", "checkpoint"])
def test_a_damaged_checkpoint_is_refused_with_its_path(model, copy, name, damage):
    path = copy / "chief" / name
    content = path.read_bytes()
    path.unlink()
    if DAMAGE[damage] is not None:
        path.write_bytes(DAMAGE[damage](content))
    if (name, damage) == ("checkpoint", "one byte short"):
        return  # the end of a line, nothing is lost
    message = refusal(model, copy)
    assert str(copy / "chief" / ("checkpoint" if name == "checkpoint" else "ckpt-2")) in message
    assert "to start anew" in message


def test_what_is_left_of_a_first_checkpoint_does_not_stop_a_new_start(copy):
    for path in (copy / "chief").glob("*"):
        path.rename(path.with_name(path.name.replace("ckpt-2", "ckpt-1")))
    (copy / "chief" / "checkpoint").unlink()
    pruned = compiled(prune(), adam())
    started(pruned, copy)
    assert int(pruned.optimizer.iterations) == 0


# -- foreign -------------------------------------------------------------------------------------

FOREIGN = {
    "goal": lambda: compiled(prune(goal=0.75), adam()),
    "seed": lambda: compiled(prune(seed=1), adam()),
    "granularity": lambda: compiled(prune(granularity="column"), adam()),
    "score": lambda: compiled(prune(score="taylor"), adam()),
    "network": lambda: compiled(prune(conv_net(dilation_rate=2, groups=4)), adam()),
    "optimizer": lambda: compiled(prune(), sgd(momentum=0.9)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_checkpoint_of_another_model_is_refused(copy, name):
    model, before = FOREIGN[name](), files(copy)
    with pytest.raises(ValueError):  # of SPPCallback, where TensorFlow sees no difference
        callbacks = [spp.SPPCallback(), keras.callbacks.BackupAndRestore(copy)]
        fit(model, 4, callbacks, epochs=6)
    assert files(copy) == before
    assert str(copy / "chief" / "ckpt-2") in refusal(model, copy)


@pytest.mark.parametrize("kind", [spp.BackupAndRestore, keras.callbacks.BackupAndRestore])
@pytest.mark.parametrize("epochs", [1, 6])  # with none to come, and some
def test_a_checkpoint_of_the_dense_model_is_refused(dense, kind, epochs):
    with pytest.raises(ValueError) as error:
        fit(compiled(prune(), adam()), 4, [spp.SPPCallback(), kind(dense)], epochs=epochs)
    message = assert_one_sentence(error, 700)
    assert str(dense) in message if kind is spp.BackupAndRestore else "BackupAndRestore" in message


def test_a_checkpoint_of_an_optimizer_that_remembers_less_is_refused(tmp_path):
    backed_up(compiled(prune(), sgd()), tmp_path)
    assert "ckpt-1" in refusal(compiled(prune(), adam()), tmp_path)


def test_it_serves_models_that_are_not_pruned_too(dense):
    model = compiled(conv_net(), adam())
    for weight in model.weights:
        weight.assign(tf.zeros_like(weight))
    started(model, dense)
    assert int(model.optimizer.iterations) == 8
    assert_same_state(state(model, optimizer=False), state(conv_net(), optimizer=False))


# -- steps_per_execution -------------------------------------------------------------------------


def test_no_step_is_repeated_after_several_per_execution(tmp_path):
    seen = []

    def run(stop):
        pruned = prune()
        pruned.compile(sgd(), "mse", steps_per_execution=3)
        look = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(int(pruned.optimizer.iterations))
        )
        backup = spp.BackupAndRestore(tmp_path, save_freq=2)  # counts executions
        callbacks = [spp.SPPCallback(), backup, look, *([Interrupt()] if stop else [])]
        fit(pruned, 12, callbacks, epochs=2)

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 8:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop=True)
    run(stop=False)
    assert seen == [3, 6, 9, 9, 12, 15, 18, 21, 24]


# -- ModelCheckpoint -----------------------------------------------------------------------------


class FullDisk:
    """No file may grow beyond some bytes meanwhile."""

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, self.before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def full(file):
    raise OSError(28, "No space left on device")


def saved_twice(kind, path):
    """Saves a model, then fails to save it again; the first content of the file."""
    callback = kind(str(path))
    callback.set_model(compiled(conv_net()))
    callback.on_epoch_end(0, {})
    content = path.read_bytes()
    # HDF5 ends the process when it finds the disk full, so here it is stopped before.
    limit = contextlib.nullcontext() if path.suffix == ".h5" else FullDisk()
    with limit, pytest.MonkeyPatch.context() as patch, pytest.raises(OSError):
        patch.setattr(h5py.File, "flush", full)
        callback.on_epoch_end(1, {})
    return content


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, name):
    content = saved_twice(spp.ModelCheckpoint, tmp_path / name)
    assert files(tmp_path) == {name: content}


def test_that_of_keras_destroys_the_file_before(tmp_path):
    path = tmp_path / "model.keras"
    saved_twice(keras.callbacks.ModelCheckpoint, path)
    with pytest.raises(ValueError, match="is not a model that tf_keras can load"):
        spp.load_model(path)


def test_weights_alone_keep_the_format_of_their_name(tmp_path):
    pruned, other = prune(), prune()
    settled(pruned, seed=1)
    callback = spp.ModelCheckpoint(tmp_path / "at {epoch}.weights.h5", save_weights_only=True)
    callback.set_model(pruned)
    callback.on_epoch_end(0, {})
    other.load_weights(tmp_path / "at 1.weights.h5")
    assert_same_state(state(pruned, optimizer=False), state(other, optimizer=False))


@pytest.mark.parametrize("name", ["folder", "model.tf", "model.ckpt"])
def test_formats_of_several_files_are_refused(name):
    with pytest.raises(ValueError, match=f"must end in .keras or .h5.*but is '{name}'") as error:
        spp.ModelCheckpoint(name)
    assert_one_sentence(error)
