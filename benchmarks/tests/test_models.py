import json

import pytest

from benchmarks.accuracy import models


def row(**changes):
    """What the script measures of a network that is as it should be."""
    return {
        "model": "MobileNetV2",
        "version": models.VERSION,
        "layers": 156,
        "macs": 400,
        "macs_small": 100,
        "params": 40,
        "params_small": 20,
        "miscounted": [[0.0, 0.0], [0.0, 0.0]],
        "frozen": 0.0,
        "reasons": [],
        "difference": 1e-15,
        "variation": 1.0,
        "difference32": 1e-6,
        "graph32": 1e-6,
        "seconds": {"analyse": 1.0, "shrink": 2.0},
        **changes,
    }


def test_what_is_as_it_should_be_has_no_problem():
    assert models.problems(row()) == []
    assert models.problems(row(macs=180, reasons=["mixes channels"])) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "before"}, "other source files"),
        ({"difference": 1e-9}, "differ by 1.0e-09"),
        ({"difference": float("nan")}, "differ by nan"),
        ({"variation": 1e-9}, "hardly depend"),
        ({"macs": 180}, "only 1.80x fewer MACs"),
        ({"miscounted": [[0.0, 0.0], [0.006, 0.0]]}, "MACs are off by 0.6%"),
        ({"miscounted": [[0.0, 0.02], [0.0, 0.0]]}, "parameters are off by 2.0%"),
    ],
)
def test_each_shortcoming_is_said(changes, said):
    (problem,) = models.problems(row(**changes))
    assert said in problem


def test_the_page_gets_the_table_and_the_run_fails_with_a_list(tmp_path, monkeypatch):
    page, output = tmp_path / "page.md", tmp_path / "rows.jsonl"
    page.write_text(f"before\n{models.START}\nold\n{models.END}\nafter\n")
    lines = [row(), row(difference=1.0, model="vgg16"), row(model="VGG16")]
    output.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["models", "--table", "--output", str(output), "--write", str(page)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match=r"vgg16: pruned and shrunk outputs differ by 1.0e\+00"):
        models.main()
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert text.index("## tf_keras.applications") < text.index("| VGG16 | 156 |")
    assert text.index("| VGG16 |") < text.index("## KerasCV") < text.index("| vgg16 |")


def test_a_page_without_the_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(SystemExit, match="needs the lines <!-- models: start -->"):
        models.write(page, "table")
    assert page.read_text() == "text"
