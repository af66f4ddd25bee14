import json
import re
import shlex
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy import plans, results, runs, training, variants
from tests.zoo.models import L, randomize

SIZE = 12
TRAINS = pytest.mark.slow  # needs networks trained in several ways


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of three colours, and a network that has not learned them well."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, count in (("train", 32), ("test", 16)):
        for channel, label in enumerate(("red", "green", "blue")):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 120, (SIZE, SIZE, 3))
                pixels[..., channel] += 80
                image = tf.io.encode_png(pixels.astype(np.uint8)).numpy()
                (folder / split / label / f"{number}.png").write_bytes(image)
    x = keras.Input((SIZE, SIZE, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, strides=2)(x)))
    y = L.GlobalAveragePooling2D()(L.ReLU()(L.Conv2D(16, 3)(y)))
    randomize(keras.Model(x, L.Dense(3)(y))).save(folder / "net.keras")
    return folder


def arguments(folder, output, *more):
    few = ["--epochs", 2, "--batch-size", 4, "--learning-rate", 0.01]
    given = ["--dataset", "folder", "--data-dir", folder, "--model", folder / "net.keras"]
    return [str(each) for each in [*given, *few, "--results", output, *more]]


def few_trials():
    return spp.Search(trials=4, verbose=0)


METHODS = ["dense", "one_shot()", "spp(A=0.3, distill=0.5, clip_norm=1.0)"]


@pytest.fixture(scope="module")
def lines(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "net.jsonl"
    kept = ["--keep", path.parent / "kept"]
    with pytest.MonkeyPatch.context() as patch:  # a process of its own for each takes a minute
        patch.setattr(runs, "apart", lambda function, *args: function(*args))
        patch.setitem(variants.ALLOCATIONS, "search", few_trials)
        sliced = mock.Mock(wraps=spp.sliced_optimizer)
        patch.setattr(spp, "sliced_optimizer", sliced)
        runs.main(arguments(folder, path, *kept, "--speedup", 1.5, 2, "--method", *METHODS))
    # Each pruned network has trained on as a small one, at the step where pruning had come to.
    optimizers = [call.args[0].optimizer for call in sliced.call_args_list]
    assert [int(each.iterations) for each in optimizers] == [24] * 4
    assert [each.global_clipnorm for each in optimizers] == [None, 1.0] * 2
    return path


@TRAINS
def test_each_run_is_a_line_and_dense_is_trained_once(lines):
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    keys = [(line["run"]["method"], line["run"]["speedup"]) for line in found]
    pruned = [(method, speedup) for speedup in (1.5, 2.0) for method in METHODS[1:]]
    assert sorted(keys, key=str) == sorted([("dense", None), *pruned], key=str)
    for line in found:
        assert 0 <= line["top1"] <= 1
        np.testing.assert_allclose(np.mean(line["top1_halves"]), line["top1"])
        assert len(line["history"]["val_accuracy"]) == 2
        if line["run"]["speedup"]:
            assert line["finished"] and line["macs_speedup"] >= line["run"]["speedup"]
            assert line["rebuilt_speedup"] == pytest.approx(line["macs_speedup"])


@TRAINS
def test_the_networks_that_come_out_are_kept(folder, lines):
    dense = keras.models.load_model(folder / "net.keras").count_params()
    for line in map(json.loads, lines.read_text().splitlines()):
        model = keras.models.load_model(lines.parent / "kept" / training.file_name(line["run"]))
        assert model.count_params() == line.get("params", dense)
        assert (model.count_params() < dense) == (line["run"]["method"] != "dense")


@TRAINS
def test_what_is_there_is_not_run_again(folder, lines, monkeypatch):
    made = []

    def measure(run, *_):
        made.append((run["method"], run["seed"]))
        return {"top1": 0.5, "macs_speedup": 1.0, "seconds": 0}

    monkeypatch.setattr(runs, "measure", measure)
    monkeypatch.setattr(runs, "apart", lambda function, *args: function(*args))
    copy = lines.with_name("copy.jsonl")
    copy.write_text(lines.read_text())
    again = arguments(folder, copy, "--speedup", 1.5, 2, "--method", *METHODS)
    runs.main(again)
    assert made == []
    runs.main([*again, "--seed", "0", "1"])
    assert made == [(m, 1) for m in (*METHODS, *METHODS[1:])]
    assert all(json.loads(line) for line in copy.read_text().splitlines())
    assert len(list(copy.parent.glob("*copy*"))) == 1  # nothing temporary is left


@TRAINS
def test_a_page_is_filled_with_tables_commands_and_plots(lines):
    page = lines.parent / "page.md"
    page.write_text(f"Before\n\n<!-- results: {lines.name} -->\nstale\n<!-- end -->\n\nAfter\n")
    for _ in range(2):  # filling again changes nothing
        results.fill(page)
    text = page.read_text()
    assert text.startswith("Before\n") and text.endswith("After\n") and "stale" not in text
    for method in METHODS[1:]:
        assert text.count(f"| `{method}` |") == 2
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    (dense,) = [line["top1"] for line in found if line["run"]["method"] == "dense"]
    assert f"| dense, same training | {100 * dense:.2f} |" in text
    for line in found:
        if line["run"]["speedup"]:
            difference = 100 * (line["top1"] - dense)
            row = next(
                row
                for row in text.splitlines()
                if f"{line['run']['speedup']:g}x | `{line['run']['method']}`" in row
            )
            first = line["history"]["val_accuracy"][0]
            cells = f"{100 * first:.2f} | {100 * line['top1']:.2f}"
            assert cells in row and f"{difference:+.2f}" in row
    assert (lines.parent / re.search(r"\]\((.*?)\)", text)[1].split("/")[-1]).stat().st_size > 5000
    command = re.search(r"```sh\n(.*?)\n```", text, re.DOTALL)[1]
    assert "--epochs 2 --learning-rate 0.01 --batch-size 4" in command


@TRAINS
def test_silent_channels_have_a_column_where_there_are_any(lines):
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    page, path = lines.parent / "page.md", lines.parent / "silent.jsonl"
    page.write_text(f"<!-- results: {path.name} -->\n<!-- end -->\n")
    for count in (0, 7):
        for line in found:
            line["silent"] = count * line["run"]["method"].startswith("spp")
        path.write_text("".join(json.dumps(line) + "\n" for line in found))
        results.fill(page)
        head, _, *rows = [row for row in page.read_text().splitlines() if row.startswith("|")]
        assert ("silent channels" in head) == bool(count)
        assert all(row.count("|") == head.count("|") for row in rows)
    assert [row.endswith("| 7 |") for row in rows] == ["`spp" in row for row in rows]


def test_at_one_speedup_every_method_has_a_row_of_dots():
    columns = ["method", "seed", "speedup", "top1"]
    seen = [("a", 0, 2.0, 0.5), ("b", 0, 2.0, 0.625), ("a", 1, 2.0, 0.75)]
    figure, axis = results.plt.subplots()
    results.draw_dots(axis, "channel", pd.DataFrame(seen, columns=columns), dense=80.0)
    (dots, line) = axis.get_lines()
    assert dots.get_xdata().tolist() == [50.0, 62.5, 75.0] and line.get_xdata() == [80.0, 80.0]
    assert dots.get_ydata(orig=False).tolist() == [0, 1, 0] and axis.yaxis_inverted()
    assert axis.get_title() == "channel 2x"
    results.plt.close(figure)


@TRAINS
def test_the_command_on_the_page_makes_the_same_runs(folder, lines):
    page = lines.parent / "page.md"
    page.write_text(f"<!-- results: {lines.name} -->\n<!-- end -->\n")
    results.fill(page)
    command = re.search(r"```sh\n(.*?)\n```", page.read_text(), re.DOTALL)[1]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "benchmarks.accuracy"]
    made = runs.list_runs(runs.parse(words[3:]))
    known = [json.loads(line)["run"] for line in lines.read_text().splitlines()]
    assert sorted(map(json.dumps, made)) == sorted(map(json.dumps, known))


@pytest.mark.parametrize("text", ["spp", "spp()", "spp(A=0.1, score='taylor')", "dense"])
def test_methods_are_calls(text):
    name, *_ = variants.read_method(text)
    assert name == text.partition("(")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spp(0.1)", "must be like spp"),
        ("spp.x()", "must be like spp"),
        ("nothing()", "nothing"),
        ("spp(A=7)", "`A` must be a number in"),
        ("spp(allocation='best')", "allocation"),
    ],
)
def test_a_method_that_is_none_is_refused_before_anything_runs(text, message, folder, capsys):
    with pytest.raises(SystemExit):
        runs.parse(arguments(folder, "x.jsonl", "--method", text))
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_another_precision_keeps_weights_and_outputs_of_float32(policy, folder):
    model = keras.models.load_model(folder / "net.keras")
    other = training.in_precision(model, policy)
    policies = {layer.dtype_policy.name for layer in other.layers[1:-1]}
    assert policies == {policy} and other.layers[-1].dtype_policy.name == "float32"
    x = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 3)).astype("float32")
    np.testing.assert_allclose(other(x), model(x), rtol=0.1, atol=0.1)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@TRAINS
def test_plans_are_measured_with_statistics_restored_and_without(folder, capsys, monkeypatch):
    monkeypatch.setitem(variants.ALLOCATIONS, "search", few_trials)
    given = ["--dataset", "folder", "--data-dir", folder, "--model", folder / "net.keras"]
    names = ["uniform", "search"]
    plans.main([str(each) for each in [*given, "--speedup", 1.2, 2, "--allocation", *names]])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[f, f"`{name}`"] for f in ("1.2", "2") for name in names]
    for _, _, restored, unrestored, left in rows:
        assert float(restored) > 0 and float(unrestored) > 0 and restored != unrestored
        assert all(1 <= int(count) <= 16 for count in left.split())


class Drawn(spp.SPPSchedule):
    """Probabilities as they are written here, update by update."""

    COURSE = np.float32([[0.6, 0.6, 0.2, 0], [0.8, 0.4, 0.6, 0], [1, 0.4, 1, 0]])

    def move(self, p, scores, sets, made):
        return tf.gather(self.COURSE, tf.minimum(made, 2)), tf.ones(4)


@pytest.mark.filterwarnings("ignore:SPP will not reach")
def test_groups_that_rose_and_came_back_are_counted():
    model = keras.Sequential([keras.Input((2,)), L.Dense(4), L.Dense(1)])
    pruned = spp.prune(model, 0.5, schedule=Drawn(frequency=1), round_to=1)
    pruned.compile("sgd", "mse")
    followed = training.Trajectories()
    x = np.ones((6, 2))
    pruned.fit(x, x[:, 0], batch_size=1, verbose=0, callbacks=[spp.SPPCallback(), followed])
    assert followed.counts() == {"risen": 3, "fallen": 1, "survived": 1}
