"""Processes that train, are killed somewhere, and are started again."""

import os
import random
import resource
import signal

import numpy as np

KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)


def kill_in_the_next_write():
    """The kernel ends this process when a file grows beyond some bytes, whoever writes it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Resumable:
    """A program that goes on where it was killed.

    Args:
        run: Runs it with these arguments; returns the process when it has ended.
        steps: How many training steps a whole run makes.
    """

    def __init__(self, run, steps):
        self.run, self.steps = run, steps

    def start(self, folder, *arguments):
        """One process; its return code."""
        process = self.run(str(folder), *arguments)
        assert process.returncode in (0, *KILLED), process.stderr[-3000:]
        return process.returncode

    def assert_as_undisturbed(self, tmp_path, *arguments):
        """Lets the last process end, and then run once more from the start, undisturbed."""
        beside = "--beside", str(tmp_path / "whole")
        assert self.start(tmp_path / "killed", *arguments, *beside) == 0
        first, second = (np.load(tmp_path / name / "state.npz") for name in ("killed", "whole"))
        assert list(first) == list(second)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], name)
        assert first["steps"] == self.steps

    def kill_at_random(self, tmp_path, way, *arguments):
        """Kills it at three steps, or in what is written then; it ends as if nothing had been."""
        seed = int(os.environ.get("KERAS_SPP_SEED", "0"))
        source = random.Random(f"{way}/{seed}")
        steps = sorted(source.sample(range(2, self.steps), 3))
        kills = [f"{step}{source.choice(['', '/writing'])}" for step in steps]
        print(f"KERAS_SPP_SEED={seed}: killed at {kills}")
        codes = [self.start(tmp_path / "killed", *arguments, "--kill", kill) for kill in kills]
        assert any(code in KILLED for code in codes), codes
        self.assert_as_undisturbed(tmp_path, *arguments)
