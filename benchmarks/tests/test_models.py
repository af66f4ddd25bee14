import json

import pytest

from benchmarks.accuracy import models, models_page


def row(**changes):
    """What the script measures of a network that is as it should be."""
    return {
        "library": "tf_keras",
        "model": "MobileNetV2",
        "backend": "tensorflow",
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
        "rounding32": 3e-6,
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
        ({"difference32": 1e-4}, "differ by 1.0e-04 in float32"),
        ({"variation": 1e-9}, "hardly depend"),
        ({"macs": 180}, "only 1.80x fewer MACs"),
        ({"miscounted": [[0.0, 0.0], [0.006, 0.0]]}, "MACs are off by 0.6%"),
        ({"miscounted": [[0.0, 0.02], [0.0, 0.0]]}, "parameters are off by 2.0%"),
    ],
)
def test_each_shortcoming_is_said(changes, said):
    (problem,) = models.problems(row(**changes))
    assert said in problem


def test_what_a_network_rounds_by_itself_is_no_problem():
    assert models.problems(row(difference32=3e-5, rounding32=4e-5)) == []


def test_means_of_jax_are_in_float32():
    assert models.problems(row(library="keras", backend="jax", difference=1e-6)) == []
    assert models.problems(row(library="keras", backend="jax", difference=1e-4))


def test_what_cannot_be_counted_is_not_miscounted():
    assert models.problems(row(library="keras", backend="jax", miscounted=[])) == []


def test_the_page_gets_the_tables_and_the_run_fails_with_a_list(tmp_path, monkeypatch):
    page, output = tmp_path / "page.md", tmp_path / "rows.jsonl"
    page.write_text(f"before\n{models_page.START}\nold\n{models_page.END}\nafter\n")
    lines = [
        row(library="keras_hub", model="vgg11"),
        row(library="keras_cv", model="vgg16", difference=1.0),
        row(),
        row(model="RegNetX002"),
    ]
    output.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["models", "--table", "--output", str(output), "--write", str(page)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match=r"keras_cv/vgg16: pruned .* differ by 1.0e\+00"):
        models.main()
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    starts = ["## keras.applications", "| MobileNetV2 |", "| RegNetX002 |", "## KerasHub",
              "| vgg11 |", "## KerasCV", "| vgg16 |"]  # fmt: skip
    assert sorted(starts, key=text.index) == starts


def test_a_network_has_one_line_and_each_framework_a_column():
    second = row(library="keras", difference=2e-15, macs=401)
    jax = row(library="keras", backend="jax", difference=3e-7, miscounted=[])
    text = models_page.page([second, jax, row(), row(library="keras", model="VGG19")])
    (line,) = [line for line in text.splitlines() if line.startswith("| MobileNetV2 |")]
    assert "| 4.00x / 4.01x |" in line and "| 0.00% | 1e-15 | 2e-15 | 3e-07 |" in line
    (line,) = [line for line in text.splitlines() if line.startswith("| VGG19 |")]
    assert "| 0.00% |  | 1e-15 |  |  | 1e-06 |  |  | 3.0 |  |" in line
    summaries = ("tf_keras: 1 networks", "Keras 3: 2 networks", "on JAX: 1 networks")
    assert all(summary in text for summary in summaries)


def test_the_page_says_what_was_not_measured():
    rows = [row(library="keras", model=name) for name in models.LIBRARIES["keras"][1:]]
    rows.append(row(library="keras_hub", model="vgg11", backend="jax", miscounted=[]))
    text = models_page.page(rows)
    assert text.count("Not measured") == 1  # one on JAX stands for all
    assert f"Not measured: {models.LIBRARIES['keras'][0]}." in text


def test_a_page_without_the_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(SystemExit, match="needs the lines <!-- models: start -->"):
        models_page.write(page, "table")
    assert page.read_text() == "text"
