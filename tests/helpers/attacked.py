"""Loads thousands of model files that name modules and functions, and watches what that does.

A program, since a hook of the interpreter stays for good: python attacked.py SEED COUNT, in a
folder of its own. It prints what was imported or touched, and how the files ended.
"""

import collections
import json
import os
import signal
import sys
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from keras_spp.frameworks.tf_keras.loading import load_model
from tests.helpers import hostile
from tests.zoo.models import L

# What no loading of a model has to do. Files are opened for reading only.
TOUCHES = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile", "os.kill"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link"),
    *("os.symlink", "os.truncate", "os.putenv", "os.unsetenv", "os.chdir", "pty.spawn"),
    *("shutil.copyfile", "shutil.move", "shutil.rmtree", "shutil.copytree", "subprocess.Popen"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "webbrowser.open"),
    *("marshal.loads", "pickle.find_class", "ctypes.dlopen", "tempfile.mkdtemp"),
)
watching: list[bool] = []
seen: list[str] = []


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Endless(BaseException):
    """tf_keras waits for ever for a layer whose inputs are never computed."""


def end(*_):
    """Ends the loading of a file."""
    raise Endless


def watch(event, arguments):
    """Notes what happens while a file is loaded."""
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if event in TOUCHES or writes:
        seen.append(f"{event} {arguments!r}"[:200])


class Importer:
    """Is asked for every module that is not there yet."""

    def find_spec(self, name, path=None, target=None):
        """Notes the name and leaves the rest to others."""
        if watching:
            seen.append(f"import {name}")


def quantized():
    """Wrappers of tfmot, which look up names in modules of their own."""
    layers = [keras.Input((4, 4, 1)), L.Conv2D(2, 3), L.Flatten(), L.Dense(2)]
    built = tfmot.quantization.keras.quantize_model(keras.Sequential(layers))
    built.compile("sgd", "mse")
    return built


def main(seed, count):
    """Loads each of the files as it was, then changed ones."""
    random = np.random.default_rng(seed)
    builders = (hostile.model, hostile.pruned, quantized)[: 1 if count < 100 else None]
    files = [
        hostile.File(build(), f"{build.__name__}_{name}")
        for build in builders
        for name in hostile.FORMATS
        if name == "m.h5" or build is not quantized
    ]
    signal.signal(signal.SIGALRM, end)
    sys.addaudithook(watch)
    sys.meta_path.insert(0, Importer())
    outcomes = collections.Counter()
    with tfmot.quantization.keras.quantize_scope():
        for file in files:  # what tf_keras itself imports late is imported by then
            load_model(file.write(0, file.configs[0]))
        for number in range(count):
            if number % 100 == 0:
                keras.backend.clear_session()
            file = files[random.integers(len(files))]
            place = int(random.integers(len(file.configs)))
            config = hostile.mutated(file.configs[place], random)
            path = file.write(place, config)
            known = len(seen)
            watching.append(True)
            signal.alarm(10)
            try:
                outcome = type(load_model(path, compile=bool(number % 4))).__name__
            except ValueError as error:
                outcome = "would run code" if "would run code" in str(error) else "sentence"
                if not str(error).endswith(".") or "\n" in str(error):
                    seen.append(f"no sentence: {error}")
            except Endless:
                outcome = "endless"
            except Exception as error:
                seen.append(f"{type(error).__name__}: {error}")
                outcome = "error"
            signal.alarm(0)
            watching.clear()
            outcomes[outcome] += 1
            if len(seen) > known:
                print(json.dumps({"number": number, "seen": seen[known:], "config": config}))
    left = left_behind()
    print(json.dumps({"outcomes": outcomes, "left": left, "permitted": permitted(files[0])}))


def left_behind():
    """The files that a called function leaves."""
    return sorted(path.name for path in Path().glob("owned*"))


def permitted(file):
    """What is seen of an attack that is let through."""
    seen.clear()
    entry = {"module": "came_along", "class_name": "function", "config": "act"}
    entry["registered_name"] = "keras_spp>PruneSPP"
    (config,) = file.configs
    place = [path for path in hostile.places(config) if path[-1:] == ("activation",)][-1]
    path = file.write(0, hostile.changed(config, place, entry))
    watching.append(True)
    load_model(path, allow_code=True)
    watching.clear()
    return [*seen, *left_behind()]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
