"""A quantizer that has imported TensorFlow once, and serves each request in a fork of itself.

The import takes most of the time that a small file takes. Run as a program, this is the server.
"""

import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path


class Warm:
    """Stands in for the module `subprocess`, as far as `quantize` uses it."""

    CompletedProcess, DEVNULL = subprocess.CompletedProcess, subprocess.DEVNULL

    def __init__(self):
        self.server = None

    def run(self, command, *, env, **_):
        """Returns how the program has ended, which the command starts for a folder of tasks."""
        *_, program, folder = command
        if self.server is None:
            options = {"env": env, "text": True, "stderr": subprocess.DEVNULL}
            options |= dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
            self.server = subprocess.Popen([sys.executable, __file__, program], **options)
        print(folder, file=self.server.stdin, flush=True)
        code = int(self.server.stdout.readline())
        said = Path(f"{folder}.stderr")
        process = subprocess.CompletedProcess(command, code, "", said.read_text(errors="replace"))
        said.unlink()
        return process

    def stop(self):
        if self.server is not None:
            self.server.kill()
            self.server.communicate()


def serve(program):
    """Forks for each folder that is read, and writes the exit code of the fork."""
    main = runpy.run_path(program)["_main"]
    import ai_edge_litert.interpreter  # noqa: F401  (the program does so late)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            work(main, Path(line.strip()))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def work(main, folder):
    """Does what the program does, and ends the process."""
    with open(f"{folder}.stderr", "w") as said:
        os.dup2(said.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    try:
        main(folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1])
