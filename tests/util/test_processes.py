import os
import subprocess

import pytest

from keras_spp.util.processes import command

PROGRAM = """
import sys
import json
if __name__ == "__main__":
    print(json.dumps(sys.argv[1:]))
"""


@pytest.mark.parametrize("safe_path", [None, "1"])
def test_a_program_runs_whatever_lies_beside_it_and_in_the_working_folder(tmp_path, safe_path):
    beside, working = tmp_path / "beside", tmp_path / "working"
    for folder in (beside, working):
        folder.mkdir()
        for name in ("json.py", "runpy.py"):
            (folder / name).write_text("raise SystemExit('not the one of Python')")
    program = beside / "program.py"
    program.write_text(PROGRAM)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    if safe_path:
        environment["PYTHONSAFEPATH"] = safe_path
    done = subprocess.run(
        command(str(program), "a b", "--c"),
        cwd=working, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == '["a b", "--c"]', done.stderr
