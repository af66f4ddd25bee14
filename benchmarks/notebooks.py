"""Runs the notebooks of docs/ and keeps what they show.

    python -m benchmarks.notebooks [docs/notebooks/compress.ipynb ...]

What TensorFlow says by the way, and the paths of temporary folders with it, is left out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

from keras_spp.util.files import atomic_path

NOTEBOOKS = Path("docs/notebooks")
LIMIT = 1200  # seconds for a cell


def executed(path: Path, folder: Path) -> Any:
    """The notebook with what its cells show, run in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=LIMIT, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(cleaned, cell.outputs) if output]
    return notebook


def cleaned(output: Any) -> Any:
    """An output without remarks; None if nothing else is there."""
    if output.get("name") == "stderr":
        return None
    if "text" in output:
        lines = [x for x in output.text.splitlines(True) if not x.startswith(("INFO:", "WARNING"))]
        output.text = "".join(lines)
        return output if output.text.strip() else None
    return output


def main() -> None:
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        with atomic_path(path) as temporary:
            nbformat.write(notebook, temporary)
        print(path, flush=True)


if __name__ == "__main__":
    main()
