"""Goes on with what `make.py` has saved, in a process of its own: see `test_saved_before.py`.

Of its own since the number of threads decides how sums are rounded, and the order of imports is
given. Each job is CASE/FORM/WAY; of each the second folder gets an archive of arrays.
"""

import gc
import json
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_spp as spp
from tests.saved_before import cases

LOADERS = {"spp": spp.load_model, "keras": keras.models.load_model}


def only_loaded(name, form, way):
    """Of the larger cases the files are loaded in both ways: to go on twice takes too long."""
    return name in ("channel", "column", "gradual") and form in cases.FILES and way == "keras"


def loaded(case, folder, form, way):
    """The pruned network as it was saved; of weights alone the optimizer is a new one."""
    if form in (*cases.FILES, "saved_model"):
        return LOADERS[way](folder / form)
    pruned = cases.compiled(case.prune(cases.dense_model(folder)), case)
    if form == "checkpoint":
        status = cases.checkpoint_of(pruned).read(str(folder / "checkpoint" / "half"))
        status.assert_existing_objects_matched()
    elif form == "last.weights.h5":
        pruned.optimizer.build(pruned.trainable_variables)
        pruned.load_weights(folder / form)
    elif form == "weights":
        pruned.optimizer.build(pruned.trainable_variables)
        pruned.load_weights(folder / form / "half").assert_existing_objects_matched()
    elif form == "weights.h5":
        pruned.load_weights(folder / form)
    else:
        raise ValueError(form)
    return pruned


def gone_on(case, folder, form, way, beside):
    """What is there at once, and what comes of it."""
    found, callbacks = {}, [spp.SPPCallback()]
    if form == "backup":
        pruned = cases.compiled(case.prune(cases.dense_model(folder)), case)
        shutil.copytree(folder / "backup", beside / "backup")  # it is deleted in the end
        callbacks += [spp.BackupAndRestore(beside / "backup", save_freq=cases.SAVE_FREQ)]
    else:
        pruned = loaded(case, folder, form, way)
        found |= labelled("loaded", cases.everything(pruned) | cases.state_of_pruning(pruned))
        found["loaded/outputs"] = cases.outputs_of(pruned)
        found["config"] = pruned.to_json()
        if only_loaded(folder.name, form, way):
            return found
    recorder = cases.Recorder()
    cases.fit(pruned, [*callbacks, recorder], epochs=1 if form in cases.BARE_FORMS else 2)
    found |= labelled("end", cases.everything(pruned) | cases.state_of_pruning(pruned))
    found["end/outputs"] = cases.outputs_of(pruned)
    found |= labelled("drawn", recorder.arrays())
    small = cases.shrunk(pruned)
    found |= labelled("small", cases.weights_of(small))
    found["small/outputs"] = cases.outputs_of(small)
    found["progress"] = json.dumps(spp.Pruner(pruned).progress().to_dict())
    return found


def measured(folder, beside):
    """The files of measurements after they have been used, and what was timed nevertheless."""
    for path in (folder.parent / "measured").iterdir():
        shutil.copy(path, beside)
    found = {}
    for name, options in cases.measuring(beside).items():
        pruned = spp.prune(cases.dense_model(folder), **options)
        found[name] = (beside / name).read_text()
        found[f"goal of {name}"] = spp.Pruner(pruned).progress().goal
        if "device" in options:
            found["timed"] = sorted(options["device"].timed)
    return found


def labelled(label, arrays):
    return {f"{label}/{name}": array for name, array in arrays.items()}


def main():
    """Arguments: the folder of what was saved, that of the results, and jobs."""
    cases.repeatable()
    gc.freeze()  # a million objects that stay: looking through them takes long
    saved, results = map(Path, sys.argv[1:3])
    for number, job in enumerate(sys.argv[3:]):
        keras.backend.clear_session()
        name, form, way = job.split("/")
        case, folder, beside = cases.CASES[name], saved / name, results / f"beside {number}"
        beside.mkdir()
        try:
            if form == "canary":
                found = cases.canary(cases.dense_model(folder), case)
            elif form == "measured":
                found = measured(folder, beside)
            else:
                found = gone_on(case, folder, form, way, beside)
        except Exception:  # is the job's own, and the others go on
            found = {"error": traceback.format_exc()}
        np.savez(results / f"{job.replace('/', ' ')}.npz", **found)
