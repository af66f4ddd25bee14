"""The notebooks of docs/ run from their first cell to the last."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra [docs]")
executed = pytest.importorskip("benchmarks.notebooks", reason="needs the extra [docs]").executed

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def shown(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in cells for output in cell.outputs]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_notebook_keeps_what_it_showed_and_nothing_of_where_that_was(path):
    outputs = shown(nbformat.read(path, as_version=4))
    assert len(outputs) >= 4
    assert "/tmp" not in path.read_text() and "/home" not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)  # as a reader starts it
    now, then = executed(path, tmp_path), nbformat.read(path, as_version=4)
    kinds = [[output.output_type for output in shown(notebook)] for notebook in (now, then)]
    assert kinds[0] == kinds[1]
