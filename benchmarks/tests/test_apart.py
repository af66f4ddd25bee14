import os
import subprocess
import sys
import time

from benchmarks.apart import apart

RUN = """
from benchmarks.apart import apart
from benchmarks.tests.test_apart import tell_and_wait
if __name__ == "__main__":
    apart(tell_and_wait)
"""


def tell_and_wait():
    """Keeps the output open while it lives, and says so when it lives too long."""
    print(os.getpid(), flush=True)
    time.sleep(10)
    print("went on", flush=True)


def test_a_function_runs_in_another_process():
    assert apart(os.getpid) != os.getpid()


def test_the_process_ends_when_the_one_that_began_it_is_killed(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    ) as process:
        number = int(process.stdout.readline())
        assert number != process.pid
        process.kill()
        process.wait()
        assert process.stdout.read() == ""  # nobody holds the other end: that process is gone too
