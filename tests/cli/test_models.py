"""The commands that take models: analyze, shrink, export, parity."""

import json

import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from tests.helpers.commands import fails, succeeds
from tests.zoo.models import L, relative_error

# --- analyze ---


def test_analyze_prints_what_the_function_says(run, plain):
    assert succeeds(run("analyze", "{folder}/plain.keras")) == f"{spp.analyze(plain)}\n"


def test_analyze_as_json_holds_the_same_numbers(run, plain):
    printed = json.loads(succeeds(run("analyze", "{folder}/plain.keras", "--json")))
    assert printed == spp.analyze(plain).to_dict()


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "saved_model"])
def test_every_format_of_a_saved_model_is_read(run, plain, tmp_path, name):
    plain.save(tmp_path / name)
    assert json.loads(succeeds(run("analyze", name, "--json")))["macs"] == spp.analyze(plain).macs


def test_a_table_in_a_terminal_is_as_wide_as_the_terminal(run, monkeypatch):
    monkeypatch.setattr("keras_spp.cli.common._in_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = succeeds(run("analyze", "{folder}/plain.keras")).splitlines()
    assert 0 < max(map(len, lines)) <= 60


# --- shrink ---


@pytest.mark.parametrize("name", ["small.keras", "small.h5"])
def test_shrink_saves_a_plain_model_with_the_outputs_of_the_pruned_one(run, pruned, tmp_path, name):
    (tmp_path / name).write_text("previous")
    succeeds(run("shrink", "{folder}/pruned.keras", name))
    small = keras.models.load_model(tmp_path / name, compile=False)
    assert relative_error(pruned, small) < 1e-5
    assert {type(layer).__module__.partition(".")[0] for layer in small.layers} == {"tf_keras"}


def test_shrink_prints_macs_and_params_counted_on_both_models(run, plain, tmp_path):
    words = succeeds(run("shrink", "{folder}/pruned.keras", "small.keras")).split()
    before = spp.analyze(plain)
    after = spp.analyze(keras.models.load_model(tmp_path / "small.keras", compile=False))
    for total in (before.macs, after.macs, before.params, after.params):
        assert f"{total:,}" in words
    assert f"{before.macs / after.macs:.2f}x" in words
    assert before.macs / after.macs >= 2


def test_shrink_warns_in_one_line_when_pruning_is_not_finished(run, plain, tmp_path):
    spp.prune(plain, 0.5).save(tmp_path / "unfinished.keras")
    result = run("shrink", "unfinished.keras", "small.keras")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: shrink: ") and result.stderr.count("\n") == 1


def test_shrink_refuses_a_model_that_is_not_pruned_and_keeps_the_previous_file(run, tmp_path):
    (tmp_path / "small.keras").write_text("previous")
    fails(run("shrink", "{folder}/plain.keras", "small.keras"), "'net'", "spp.prune")
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    assert (tmp_path / "small.keras").read_text() == "previous"


def test_shrink_refuses_a_suffix_that_is_no_model_format(run):
    fails(run("shrink", "{folder}/pruned.keras", "small.bin"), ".keras or .h5", "'small.bin'")


def test_shrink_names_a_folder_that_does_not_exist(run):
    fails(run("shrink", "{folder}/pruned.keras", "none/small.keras"), "none", "does not exist")


# --- export ---


def test_export_writes_what_the_function_writes(run, folder, tmp_path):
    printed = succeeds(run("export", "{folder}/plain.keras", "out.tflite"))
    assert (tmp_path / "out.tflite").stat().st_size == (folder / "plain.tflite").stat().st_size
    assert printed.startswith("out.tflite: ") and "(1, 12, 12, 3) float32" in printed


def test_export_passes_its_options_on(run, folder, tmp_path):
    printed = succeeds(
        run(
            "export", "{folder}/plain.keras", "o.tflite", "--quantization=dynamic", "--batch-size=4"
        )
    )
    assert "(4, 12, 12, 3) float32" in printed
    assert (tmp_path / "o.tflite").stat().st_size < (folder / "plain.tflite").stat().st_size


def test_export_takes_the_sizes_that_a_model_leaves_open(run, tmp_path):
    keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(4, 3)]).save(tmp_path / "open.keras")
    fails(run("export", "open.keras", "open.tflite"), "`input_shape`")
    assert "(1, 9, 8, 3)" in succeeds(
        run("export", "open.keras", "open.tflite", "--input-shape", "9,8,3")
    )
    result = run("export", "open.keras", "open.tflite", "--input-shape", "9x8")
    assert result.exit_code == 2 and "'9x8' is not a list" in result.stderr


def test_export_leaves_pruned_columns_out_if_told_where_and_remembers_what_it_timed(run, tmp_path):
    model = keras.Sequential([keras.Input((6, 6, 8)), L.Conv2D(4, 3, name="conv")])
    kernel = np.ones((3, 3, 8, 4), "float32")
    kernel[:, :, ::2] = 0
    model.layers[0].kernel.assign(kernel)
    model.save(tmp_path / "columns.keras")
    where = "--device=local", "--threads=2", "--cache=known.json"
    assert "packed conv: 36 of 72 columns" in succeeds(
        run("export", "columns.keras", "o.tflite", *where)
    )
    known = json.loads((tmp_path / "known.json").read_text())
    assert known["threads"] == 2 and len(known["milliseconds"]) == 3
    assert "packed" not in succeeds(run("export", "columns.keras", "o.tflite", "--no-pack"))
    fails(run("export", "columns.keras", "o.tflite", "--cache=columns.keras"), "`cache`")
    fails(run("export", "columns.keras", "o.tflite", "--device=phone"), "`device`")


def test_export_refuses_a_batch_size_below_one(run):
    fails(run("export", "{folder}/plain.keras", "o.tflite", "--batch-size=0"), "`batch_size`")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.usefixtures("warm_quantizer")
def test_export_takes_representative_data_from_a_file(run, samples, plain, tmp_path, name):
    printed = succeeds(
        run("export", "{folder}/plain.keras", "o.tflite", "--quantization=int8",
            f"--representative-data={name}", "--input-type=uint8")
    )  # fmt: skip
    assert "(1, 12, 12, 3) uint8, " in printed and "(1, 4) float32" in printed
    (row,) = spp.parity(plain, tmp_path / "o.tflite", samples)
    assert row.mean_difference < 0.05 * row.largest


def test_export_takes_data_for_several_inputs_by_name(run, tmp_path):
    a, b = keras.Input((3,), name="zoom"), keras.Input((2,), name="aux")
    keras.Model([a, b], [L.Dense(2)(a), L.Dense(2)(b)]).save(tmp_path / "two.keras")
    np.savez(tmp_path / "two.npz", aux=np.ones((9, 2)), zoom=np.full((9, 3), 9.0))
    report = succeeds(
        run("export", "two.keras", "two.tflite", "--quantization=int8",
            "--representative-data=two.npz", "--input-type=int8")
    )  # fmt: skip
    assert "zoom (1, 3) int8, 0.0352941 *" in report and "aux (1, 2) int8, 0.00392157 *" in report


def test_export_names_data_that_cannot_be_read(run, tmp_path):
    (tmp_path / "text.npy").write_text("none")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for name in ("text.npy", "objects.npy"):
        arguments = ["--quantization=int8", f"--representative-data={name}"]
        result = run("export", "{folder}/plain.keras", "o.tflite", *arguments)
        fails(result, "`representative_data`", repr(name), "cannot be read")
    result = run("export", "{folder}/plain.keras", "o.tflite", "--representative-data=none.npy")
    fails(result, "'none.npy' does not exist")
    result = run("export", "{folder}/plain.keras", "o.tflite", "--quantization=int8")
    fails(result, "`representative_data` must be given")


def test_what_was_pruned_is_written_and_printed(run, folder, pruned, plain, tmp_path):
    succeeds(run("shrink", "{folder}/pruned.keras", "small.keras"))
    printed = succeeds(run("export", "small.keras", "s.tflite", "--original={folder}/plain.keras"))
    info = json.loads(succeeds(run("metadata", "s.tflite")))
    assert info == spp.read_metadata(tmp_path / "s.tflite")
    small = keras.models.load_model(tmp_path / "small.keras", compile=False)
    assert info["pruned"]["macs"] == [spp.analyze(plain).macs, spp.analyze(small).macs]
    assert f"pruned to {info['pruned']['speedup']:.2f}x fewer MACs" in printed
    fails(run("metadata", "none.tflite"), "'none.tflite' does not exist")


# --- parity ---


def test_parity_prints_what_the_function_says(run, folder, samples, plain, tmp_path):
    arguments = ["parity", "{folder}/plain.keras", "{folder}/plain.tflite"]
    printed = json.loads(succeeds(run(*arguments, "x.npz", "--json")))
    data = [(samples, np.arange(20) % 4)]
    assert printed == spp.parity(plain, folder / "plain.tflite", data).to_dict()
    assert printed["rows"][0]["keras_top1"] is not None
    words = succeeds(run(*arguments, "x.npy")).split()  # the title breaks where the path ends
    assert words[words.index("samples") - 1] == "20"
    fails(run(*arguments, "none.npy"), "'none.npy' does not exist")
