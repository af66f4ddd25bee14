import os
import subprocess
import sys
import time

from benchmarks.apart import apart

RUN = """
import sys
from test_apart import tell_and_wait
from benchmarks.apart import apart
if __name__ == "__main__":
    apart(tell_and_wait, sys.argv[1])
"""


def tell_and_wait(pipe):
    """Keeps the pipe open while it lives, and says so when it lives too long."""
    with open(pipe, "w") as file:
        print(os.getpid(), file=file, flush=True)
        time.sleep(10)
        print("went on", file=file)


def test_a_function_runs_in_another_process():
    assert apart(os.getpid) != os.getpid()


def test_the_process_ends_when_the_one_that_began_it_is_killed(tmp_path):
    script, pipe = tmp_path / "run.py", tmp_path / "pipe"
    script.write_text(RUN)
    os.mkfifo(pipe)
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, script, pipe], env={**os.environ, "PYTHONPATH": path}
    )
    with open(pipe) as file:
        number = int(file.readline())
        assert number != process.pid
        process.kill()
        process.wait()
        assert file.read() == ""  # the other end is closed: that process is gone as well
