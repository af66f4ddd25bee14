"""Pruned Keras 3 models go through files and go on where they were."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.killed import Resumable
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.states import assert_same_state
from tests.helpers.training_keras3 import (
    compiled,
    conv_net,
    dense_net,
    fit,
    prune,
    samples,
    settled,
    state,
)
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")
ROOT = Path(__file__).parents[3]
EPOCHS = {"epochs": 4}


def python(*command):
    """One process; how it ended."""
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": keras.backend.backend(),
    }  # fmt: skip
    del environment["TF_USE_LEGACY_KERAS"]  # with which TensorFlow imports tf_keras
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def trained(kind="adam", **options):
    pruned = compiled(prune(A=0.25, score_decay=0.5, **options), kind)
    fit(pruned, 5, [spp.SPPCallback()], epochs=2)
    return pruned


@pytest.fixture(scope="module")
def undisturbed():
    """The end of a run of four epochs."""
    pruned = compiled(prune(A=0.5, score_decay=0.5), "adam")
    fit(pruned, 5, epochs=4)
    return state(pruned)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["l1", "taylor"])
def test_a_model_from_a_file_goes_on_where_it_was_bit_for_bit(tmp_path, score):
    pruned = trained(score=score)
    assert not spp.Pruner(pruned).progress().finished
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_state(state(pruned), state(loaded))
    x, _ = samples(pruned, 8)
    np.testing.assert_array_equal(pruned.predict(x, verbose=0), loaded.predict(x, verbose=0))
    for model in (pruned, loaded):
        fit(model, 5, initial_epoch=2, epochs=4)
        assert spp.Pruner(model).progress().finished
    assert_same_state(state(pruned), state(loaded))


def test_the_same_as_a_run_that_nothing_has_disturbed(tmp_path, undisturbed):
    pruned = compiled(prune(A=0.5, score_decay=0.5), "adam")
    fit(pruned, 5, epochs=4, initial_epoch=2)  # ten of twenty steps, planned for these alone
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(loaded, 5, epochs=4, initial_epoch=2)
    assert_same_state(undisturbed, state(loaded))


@pytest.mark.parametrize("first", ["keras_spp", pytest.param("keras", marks=pytest.mark.slow)])
def test_a_file_loads_in_a_process_that_has_imported_keras_spp_whenever(tmp_path, first):
    if first == "keras" and keras.backend.backend() != "tensorflow":
        pytest.skip("the other order is enough")
    pruned = prune(score="l2")
    settled(pruned, 1)
    pruned.save(tmp_path / "model.keras")
    x, _ = samples(pruned, 8)
    np.savez(tmp_path / "x.npz", x=x, y=pruned.predict(x, verbose=0))
    second = "keras" if first == "keras_spp" else "keras_spp"
    program = f"""
        import {first}
        import {second}
        import keras, numpy as np, sys
        folder = {str(tmp_path)!r}
        model = keras.saving.load_model(folder + "/model.keras")
        data = np.load(folder + "/x.npz")
        np.testing.assert_array_equal(model.predict(data["x"], verbose=0), data["y"])
        print(type(model.layers[2]).__module__)
        print(sorted({{"tf_keras", "tensorflow_model_optimization"}} & set(sys.modules)))
    """
    result = python("-c", textwrap.dedent(program))
    expected = "keras_spp.frameworks.keras3.wrapper\n[]"
    assert result.stdout.strip() == expected, result.stderr[-3000:]


@pytest.mark.parametrize(("net", "granularity"), [(dense_net, "channel"), (conv_net, "column")])
def test_configs_say_everything(net, granularity):
    options = {"score": "l2", "begin_step": 3, "evaluation": "sampled", "seed": 5}
    pruned = prune(net(), granularity=granularity, **options)
    settled(pruned, 1)
    for copy in (
        type(pruned).from_config(pruned.get_config()),
        keras.models.clone_model(pruned),
        keras.models.model_from_json(pruned.to_json()),
    ):
        copy.set_weights(pruned.get_weights())
        assert [w.own_config() for w in find_wrappers(copy)] == [
            w.own_config() for w in find_wrappers(pruned)
        ]
        x, _ = samples(pruned, 5)
        np.testing.assert_array_equal(pruned.predict(x, verbose=0), copy.predict(x, verbose=0))
        spp.Pruner(copy).progress()


@keras.saving.register_keras_serializable(package="test_saving")
def fourth(weight):
    return keras.ops.square(keras.ops.square(weight))


def test_a_score_of_ones_own_is_saved_by_its_registered_name(tmp_path):
    pruned = trained(score=fourth)
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert spp.Pruner(loaded).schedule.score is fourth
    fit(loaded, 5, initial_epoch=2, epochs=4)
    assert spp.Pruner(loaded).progress().finished


def test_weights_alone_are_given_to_a_model_pruned_alike(tmp_path):
    pruned = trained()
    pruned.save_weights(tmp_path / "model.weights.h5")
    other = compiled(prune(A=0.5, score_decay=0.5), "adam")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same_state(state(pruned), state(other))


@pytest.mark.parametrize("difference", [{"seed": 3}, {"goal": 0.25}])
def test_weights_of_a_model_pruned_otherwise_are_noticed(tmp_path, difference):
    trained().save_weights(tmp_path / "model.weights.h5")
    other = compiled(prune(**difference), "adam")
    other.load_weights(tmp_path / "model.weights.h5")
    pruner = None
    with pytest.raises(ValueError, match="must be of a model pruned alike") as error:
        pruner = spp.Pruner(other)
    assert_one_sentence(error)
    with pytest.raises(ValueError, match="must be of a model pruned alike"):
        fit(other, 5)
    assert pruner is None


# -- callbacks that write ------------------------------------------------------------------------


class Stop(keras.callbacks.Callback):
    """Interrupts training at the end of a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.epoch, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt


def interrupted(folder, callback, epoch=2, batch=2, **options):
    pruned = compiled(prune(A=0.5, score_decay=0.5, **options), "adam")
    with pytest.raises(KeyboardInterrupt):
        fit(pruned, 5, [spp.SPPCallback(), callback(folder), Stop(epoch, batch)], **EPOCHS)
    return pruned


@pytest.mark.parametrize("first", [True, False])
def test_backup_and_restore_ends_as_if_nothing_had_been(tmp_path, undisturbed, first):
    interrupted(tmp_path, spp.BackupAndRestore)
    again = compiled(prune(A=0.5, score_decay=0.5), "adam")
    callbacks = [spp.SPPCallback(), spp.BackupAndRestore(tmp_path)]
    fit(again, 5, callbacks[:: 1 if first else -1], **EPOCHS)
    assert_same_state(undisturbed, state(again))
    assert not tmp_path.exists() or not list(tmp_path.glob("*.h5")), "it is over"


def test_kerass_own_backup_does_too(tmp_path, undisturbed):
    interrupted(tmp_path, keras.callbacks.BackupAndRestore)
    again = compiled(prune(A=0.5, score_decay=0.5), "adam")
    fit(again, 5, [keras.callbacks.BackupAndRestore(tmp_path), spp.SPPCallback()], **EPOCHS)
    assert_same_state(undisturbed, state(again))


def test_model_checkpoint_writes_whole_models(tmp_path, undisturbed):
    interrupted(tmp_path, lambda folder: spp.ModelCheckpoint(folder / "model.keras"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    done = int(loaded.optimizer.iterations)
    assert done == 10
    fit(loaded, 5, initial_epoch=done // 5, **EPOCHS)
    assert_same_state(undisturbed, state(loaded))


def test_model_checkpoint_with_options_of_keras(tmp_path):
    pruned = compiled(prune(), "adam")
    keep = spp.ModelCheckpoint(
        tmp_path / "best-{epoch}.weights.h5", save_weights_only=True, save_best_only=True,
        monitor="loss",
    )  # fmt: skip
    fit(pruned, 5, [spp.SPPCallback(), keep], **EPOCHS)
    names = [path.name for path in tmp_path.iterdir()]
    assert "best-1.weights.h5" in names and all(name.endswith(".weights.h5") for name in names)
    assert keep.best == pytest.approx(min(pruned.history.history["loss"]))
    with pytest.raises(ValueError, match=r"must end in \.keras or \.h5"):
        spp.ModelCheckpoint(tmp_path / "folder")


def test_a_damaged_backup_is_refused_in_one_sentence(tmp_path):
    interrupted(tmp_path, spp.BackupAndRestore)
    path = tmp_path / "latest.weights.h5"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no file of weights"):
        path.write_bytes(damaged)
        again = compiled(prune(A=0.5, score_decay=0.5), "adam")
        with pytest.raises(ValueError, match=r"cannot be restored into model") as error:
            fit(again, 5, [spp.SPPCallback(), spp.BackupAndRestore(tmp_path)], **EPOCHS)
        assert_one_sentence(error, 700)
        assert path.read_bytes() == damaged, "what may be of use is not overwritten"
    path.write_bytes(whole)
    (tmp_path / "training_metadata.json").write_text("{")
    again = compiled(prune(A=0.5, score_decay=0.5), "adam")
    with pytest.raises(ValueError, match=r"cannot be restored into model") as error:
        fit(again, 5, [spp.SPPCallback(), spp.BackupAndRestore(tmp_path)], **EPOCHS)
    assert_one_sentence(error, 700)


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


FOREIGN = {
    "another seed": lambda: prune(A=0.5, score_decay=0.5, seed=9),
    "another goal": lambda: prune(goal=0.25),
    "another network": lambda: prune(conv_net()),
    "not pruned": dense_net,
}


@pytest.mark.parametrize(
    "what", ["another seed", "not pruned", *slow("another goal", "another network")]
)
def test_a_foreign_backup_is_refused_in_one_sentence(tmp_path, what):
    other = compiled(FOREIGN[what](), "adam")
    mine = [spp.SPPCallback()] if what != "not pruned" else []
    stop = [spp.BackupAndRestore(tmp_path), Stop(2, 2)]
    with pytest.raises(KeyboardInterrupt):
        fit(other, 5, [*mine, *stop], **EPOCHS)
    again = compiled(prune(A=0.5, score_decay=0.5), "adam")
    with pytest.raises(ValueError, match=r"cannot be restored into model") as error:
        fit(again, 5, [spp.SPPCallback(), spp.BackupAndRestore(tmp_path)], **EPOCHS)
    assert_one_sentence(error, 900)


# -- processes that are killed -------------------------------------------------------------------


RUN = Resumable(lambda *arguments: python("-m", "tests.helpers.resumable_keras3", *arguments), 30)


@pytest.mark.slow
def test_killed_in_the_middle_of_a_backup(tmp_path):
    # Step 12 ends the second epoch: the first backup is whole, and this one is not.
    assert RUN.start(tmp_path / "killed", "--kill", "12/writing") == -signal.SIGXFSZ
    RUN.assert_as_undisturbed(tmp_path)


WAYS = {
    "backup": [],
    "backup-taylor": ["--optimizer", "momentum", "--score", "taylor", "--net", "conv"],
    "backup-reverse": ["--optimizer", "momentum", "--reverse"],
    "file": ["--way", "file", "--optimizer", "adamw"],
    "file-taylor": ["--way", "file", "--score", "taylor", "--optimizer", "momentum"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_random_steps_and_writes(way, tmp_path):
    RUN.kill_at_random(tmp_path, way, *WAYS[way])


def test_model_checkpoint_knows_the_best_of_earlier_fits(tmp_path):
    pruned = compiled(prune(), keras.optimizers.SGD(0.0))
    callback = spp.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True)
    fit(pruned, 30, callbacks=[spp.SPPCallback(), callback])
    best, written = callback.best, (tmp_path / "best.keras").read_bytes()
    kernel = pruned.layers[-1].layer.kernel
    kernel.assign(100 * kernel)
    fit(pruned, 4, callbacks=[spp.SPPCallback(), callback])
    assert callback.best == best and (tmp_path / "best.keras").read_bytes() == written


def test_a_fit_after_one_that_was_restored_makes_all_of_its_epochs(tmp_path):
    pruned = compiled(prune(), "adam")
    options = {"delete_checkpoint": False}
    fit(pruned, 10, callbacks=[spp.SPPCallback(), spp.BackupAndRestore(tmp_path, **options)])
    again = compiled(prune(), "adam")
    callbacks = [spp.SPPCallback(), spp.BackupAndRestore(tmp_path, **options)]
    fit(again, 10, callbacks=callbacks, epochs=2)
    assert int(again.optimizer.iterations) == 20  # one epoch was restored
    fit(again, 10, callbacks=[spp.SPPCallback()])
    assert int(again.optimizer.iterations) == 30


def test_a_second_copy_of_a_backup_is_refused_as_there_is_no_need_for_it(tmp_path):
    callback = spp.BackupAndRestore(tmp_path, double_checkpoint=True)
    with pytest.raises(ValueError, match="`double_checkpoint` must be False: files are"):
        callback.set_model(prune())


@keras.saving.register_keras_serializable("tests")
class Shifted(keras.layers.Layer):
    """A layer of a user's that leaves its config to Keras."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = 0.5

    def call(self, x):
        return x + self.shift


@pytest.mark.filterwarnings("ignore:shrink")
def test_layers_that_leave_their_config_to_keras_stay_so(tmp_path):
    L = keras.layers
    x = inputs = keras.Input((4,))
    x = Shifted()(L.Dense(10, "tanh", name="a")(x))
    pruned = prune(keras.Model(inputs, L.Dense(2, name="b")(x)))
    settled(pruned, 0)
    x, _ = samples(pruned, 8)
    for model in (pruned, spp.shrink(pruned)):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
