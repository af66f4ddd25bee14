"""Saves networks in the middle of pruning, in every form: `python -m tests.saved_before.make`.

Only for the code of the commit whose files these are to stand for. The files that lie beside this
script were saved before the package was taken apart into folders, and
`tests/journeys/test_saved_before.py` shows that what they hold still loads and goes on bit for
bit. Made anew with later code they would show nothing, so do not: to add files of a later state,
give a folder of their own.

Of each case in `CASES` there is an archive of

* dense.keras, the network to prune, and canary.npz, what plain tf_keras makes of it in 30 steps:
  where that comes out bit for bit, everything else has to;
* the pruned network after 15 steps, in the case's forms, and as arrays in half.npz;
* whole.npz, what an undisturbed run has come to after 30 steps; drawn.npz, the probabilities and
  masks of its steps; small.npz, the weights and outputs of what `spp.shrink` makes of that;
* fresh.npz, where the case has a form without an optimizer: after 15 more steps with a new one.

Others hold a finished network with what was exported of it, and the files of measurements. The
networks, the data and how to look into a pruned model are in `cases.py`: they are the test's too.
"""

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

# As in conftest.py: where these kernels are off convolutions round otherwise.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tf_keras as keras

import keras_spp as spp
from tests.saved_before.cases import (
    BARE_FORMS,
    CASES,
    EXPORTED,
    FOLDER,
    INTERRUPTED,
    SAVE_FREQ,
    Recorder,
    canary,
    checkpoint_of,
    compiled,
    dense_model,
    everything,
    fit,
    measuring,
    outputs_of,
    repeatable,
    shrunk,
    state_of_pruning,
    weights_of,
)


class Saver(keras.callbacks.Callback):
    """Saves everything at the end of the first epoch, as a user's callbacks would."""

    def __init__(self, folder, forms):
        super().__init__()
        self.folder, self.forms = folder, forms

    def on_epoch_end(self, epoch, logs=None):
        if epoch:
            return
        model, forms = self.model, self.forms
        np.savez_compressed(
            self.folder / "half.npz",
            **everything(model),
            **state_of_pruning(model),
            outputs=outputs_of(model),
        )
        if "model.h5" in forms:
            model.save(self.folder / "model.h5")
        if "saved_model" in forms:
            model.save(self.folder / "saved_model")
        if "checkpoint" in forms:
            checkpoint_of(model).write(str(self.folder / "checkpoint" / "half"))
        for name in {"last.weights.h5", "weights.h5"} & set(forms):
            model.save_weights(self.folder / name)
        if "weights" in forms:
            model.save_weights(self.folder / "weights" / "half")


class FirstEpoch(spp.ModelCheckpoint):
    """The package's own writer of files, stopped after the first."""

    def on_epoch_end(self, epoch, logs=None):
        if not epoch:
            super().on_epoch_end(epoch, logs)


class Interrupt(keras.callbacks.Callback):
    """Ends a fit as a keyboard does."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == INTERRUPTED:
            raise KeyboardInterrupt


def write(name, case, folder, left):
    """Writes a case; returns the pruned network at the end."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(sorted(CASES).index(name))
    dense = left if case.network is None else case.network()
    dense.save(folder / "dense.keras")
    np.savez_compressed(folder / "canary.npz", **canary(dense_model(folder), case))

    # Not from the file where `dense` was pruned before: it remembers that until it is saved.
    pruned = compiled(case.prune(dense), case)
    recorder = Recorder()
    savers = [Saver(folder, case.forms), FirstEpoch(folder / "model.keras")]
    fit(pruned, [spp.SPPCallback(), recorder, *savers])
    np.savez_compressed(
        folder / "whole.npz",
        **everything(pruned),
        **state_of_pruning(pruned),
        outputs=outputs_of(pruned),
    )
    np.savez_compressed(folder / "drawn.npz", **recorder.arrays())
    left = shrunk(pruned)
    np.savez_compressed(folder / "small.npz", **weights_of(left), outputs=outputs_of(left))
    progress = spp.Pruner(pruned).progress().to_dict()
    (folder / "progress.json").write_text(json.dumps(progress, indent=1) + "\n")

    if "backup" in case.forms:
        interrupted = compiled(case.prune(dense_model(folder)), case)
        backup = spp.BackupAndRestore(folder / "backup", save_freq=SAVE_FREQ)
        try:
            fit(interrupted, [spp.SPPCallback(), backup, Interrupt()])
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("the fit was to be interrupted")
    if set(BARE_FORMS) & set(case.forms):
        fresh = compiled(case.prune(dense_model(folder)), case)
        fresh.load_weights(folder / "weights.h5")
        recorder = Recorder()
        fit(fresh, [spp.SPPCallback(), recorder], epochs=1)
        np.savez_compressed(folder / "fresh.npz", **everything(fresh), **state_of_pruning(fresh))
        np.savez_compressed(folder / "fresh_drawn.npz", **recorder.arrays())
    return pruned


def write_exported(pruned, folder):
    """A network whose pruning is over, the plain small one, and its TFLite file."""
    left = spp.shrink(pruned)
    pruned.save(folder / "finished.keras")
    left.save(folder / "small.keras")
    spp.export_tflite(left, folder / "small.tflite")
    known = spp.read_metadata(folder / "small.tflite")
    (folder / "metadata.json").write_text(json.dumps(known, indent=1) + "\n")
    return left


@contextlib.contextmanager
def archive(path):
    """A folder whose content becomes an archive, a tenth as large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        shutil.make_archive(os.fspath(path), "xztar", folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, default=FOLDER, help="default: where this script is")
    into = parser.parse_args().into
    into.mkdir(exist_ok=True)
    repeatable()
    left = None
    for name, case in CASES.items():
        with archive(into / name) as folder:
            pruned = write(name, case, folder, left)
        print(name, spp.Pruner(pruned).progress())
        if name in EXPORTED:
            with archive(into / EXPORTED[name]) as folder:
                left = write_exported(pruned, folder)
    with archive(into / "measured") as folder, tempfile.TemporaryDirectory() as beside:
        shutil.unpack_archive(into / "channel.tar.xz", beside, filter="data")
        goals = {
            name: spp.Pruner(spp.prune(dense_model(Path(beside)), **options)).progress().goal
            for name, options in measuring(folder).items()
        }
        (folder / "goals.json").write_text(json.dumps(goals) + "\n")
        for lock in folder.glob(".*.lock"):
            lock.unlink()


if __name__ == "__main__":
    main()
