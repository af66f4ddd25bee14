import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import keras_spp as spp
from keras_spp.cli import main
from tests.zoo.models import L, random_probabilities, randomize, relative_error

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def plain():
    image = keras.Input((12, 12, 3))
    x = L.ReLU()(L.Conv2D(32, 3, name="first")(image))
    x = L.ReLU()(L.Conv2D(32, 3, name="second")(x))
    return randomize(keras.Model(image, L.Dense(4)(L.GlobalAveragePooling2D()(x)), name="net"))


@pytest.fixture(scope="module")
def pruned(plain):
    pruned = spp.prune(plain, target_speedup=2.0, schedule=spp.SPPSchedule(frequency=1), round_to=1)
    random_probabilities(pruned, settled=True)
    return pruned


@pytest.fixture(scope="module")
def folder(tmp_path_factory, plain, pruned):
    folder = tmp_path_factory.mktemp("cli")
    plain.save(folder / "plain.keras")
    pruned.save(folder / "pruned.keras")
    spp.export_tflite(plain, folder / "plain.tflite")
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Runs the command in an empty folder, with {folder} in its arguments filled in."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        arguments = [str(argument).format(folder=folder) for argument in arguments]
        return CliRunner().invoke(main, arguments, prog_name="keras-spp")

    return run


def succeeds(result):
    assert result.exception is None and result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def fails(result, *parts):
    """Checks that a command ended in one sentence, and nothing else, on stderr."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.endswith(".\n")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


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
    monkeypatch.setattr("keras_spp.cli._in_terminal", lambda: True)
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


@pytest.fixture
def samples(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 12, 12, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", images=x, labels=np.arange(20) % 4)
    return x


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
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
    assert "20 samples" in succeeds(run(*arguments, "x.npy"))
    fails(run(*arguments, "none.npy"), "'none.npy' does not exist")


# --- benchmark ---


def test_benchmark_prints_one_row_per_file(run):
    printed = succeeds(
        run("benchmark", "dense={folder}/plain.tflite", "{folder}/plain.tflite", "--runs=3")
    )
    assert " dense " in printed and " plain " in printed and "runs 3" in printed


def test_benchmark_as_json_holds_names_threads_and_runs(run):
    printed = succeeds(
        run("benchmark", "a={folder}/plain.tflite", "--threads=2", "--runs=3", "--json")
    )
    (row,) = json.loads(printed)["rows"]
    assert (row["name"], row["threads"], row["runs"]) == ("a", 2, 3)
    assert row["median_ms"] > 0


def test_benchmark_takes_a_file_with_an_equals_sign_in_its_name(run, folder, tmp_path):
    (tmp_path / "ratio=0.5.tflite").write_bytes((folder / "plain.tflite").read_bytes())
    printed = succeeds(run("benchmark", "ratio=0.5.tflite", "--runs=1", "--json"))
    assert json.loads(printed)["rows"][0]["name"] == "ratio=0.5"


def test_benchmark_refuses_two_files_of_one_name(run):
    fails(run("benchmark", "{folder}/plain.tflite", "{folder}/plain.tflite"), "'plain'", "NAME=")


def test_benchmark_names_a_missing_file(run):
    fails(run("benchmark", "a=missing.tflite"), "'missing.tflite'", "does not exist")


def test_benchmark_names_a_truncated_file(run, folder, tmp_path):
    whole = (folder / "plain.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    fails(run("benchmark", "cut.tflite"), "'cut.tflite'", "damaged")


def test_benchmark_refuses_what_is_not_tflite(run):
    fails(run("benchmark", "{folder}/plain.keras"), "not a TFLite file")


def test_benchmark_passes_its_options_on(run, monkeypatch):
    given = {}
    real = spp.benchmark

    def record(models, **options):
        given.update(options)
        return real(models, runs=1)

    monkeypatch.setattr(spp, "benchmark", record)
    succeeds(run("benchmark", "{folder}/plain.tflite"))
    assert given == {
        "device": "local", "threads": 1, "runs": 50, "warmup": 5, "delegate": "xnnpack",
        "binary": None, "timeout": None, "retries": 2, "progress": None,
    }  # fmt: skip
    succeeds(
        run(
            "benchmark", "{folder}/plain.tflite", "--device=android:X1", "--threads=2", "--runs=7",
            "--warmup=0", "--delegate=gpu", "--binary=b", "--timeout=9.5", "--retries=0",
        )
    )  # fmt: skip
    assert given == {
        "device": "android:X1", "threads": 2, "runs": 7, "warmup": 0, "delegate": "gpu",
        "binary": Path("b"), "timeout": 9.5, "retries": 0, "progress": None,
    }  # fmt: skip


def test_benchmark_shows_its_progress_in_a_terminal_beside_the_json(run, monkeypatch):
    monkeypatch.setattr("keras_spp.cli._in_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    result = run("benchmark", "{folder}/plain.tflite", "--runs=3", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["rows"][0]["runs"] == 3
    for part in ("timing", "33%", "100%"):
        assert part in result.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--device=cloud", "`device` must be"),
        ("--delegate=nnapi", "`delegate` must be one of 'xnnpack', 'none' on 'local'"),
        ("--binary=x", "`binary` must be None"),
        ("--timeout=0", "`timeout` must be"),
        ("--retries=-1", "`retries` must be"),
        ("--device=ssh://a:b@c", "must not hold a password"),
    ],
)
def test_benchmark_names_a_wrong_option(run, option, words):
    fails(run("benchmark", "{folder}/plain.tflite", option), words)


# --- reading models ---


@pytest.mark.parametrize("command", ["analyze", "shrink", "export"])
def test_a_missing_model_is_named(run, command):
    out = {"shrink": ["out.keras"], "export": ["out.tflite"]}.get(command, [])
    fails(run(command, "missing.keras", *out), "'missing.keras' does not exist")


@pytest.mark.parametrize("name", ["text.keras", "text.h5", "text"])
def test_a_file_that_is_no_model_is_named(run, tmp_path, name):
    (tmp_path / name).write_text("This is not a model.\n")
    fails(run("analyze", name), repr(name), "not a model")


@pytest.mark.parametrize("name", ["cut.keras", "cut.h5"])
def test_a_truncated_model_is_named(run, plain, tmp_path, name):
    plain.save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    fails(run("analyze", name), repr(name), "not a model")


def test_a_folder_that_is_no_saved_model_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    fails(run("analyze", "empty"), "'empty'", "not a model")


def test_a_model_saved_by_keras_3_is_called_that(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "new.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.10.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "InputLayer", "config": {}}))
    fails(run("analyze", "new.keras"), "'new.keras'", "Keras 3")


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "lambda"])
def test_code_in_a_model_file_is_never_run(run, tmp_path, name):
    # The code of a lambda travels in the file, its globals do not.
    touch = L.Lambda(lambda x: (__import__("pathlib").Path("owned").touch(), x)[1])
    model = keras.Sequential([keras.Input((4,)), L.Dense(4), touch])
    assert (tmp_path / "owned").exists()
    model.save(tmp_path / name)
    (tmp_path / "owned").unlink(missing_ok=True)
    result = run("analyze", name)
    assert not (tmp_path / "owned").exists()
    if name != "lambda":  # of a SavedModel the traced graph is used, without the code
        fails(result, repr(name), "Lambda")


CUSTOM = """
import tf_keras as keras

@keras.saving.register_keras_serializable(package="custom_for_cli")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def test_import_makes_custom_layers_known(run, tmp_path):
    (tmp_path / "custom_for_cli.py").write_text(CUSTOM)
    write = (
        "import custom_for_cli, tf_keras as keras; x = keras.Input((4,));"
        "keras.Model(x, custom_for_cli.Doubled()(keras.layers.Dense(3)(x))).save('c.keras')"
    )
    subprocess.run([sys.executable, "-c", write], cwd=tmp_path, check=True, capture_output=True)
    fails(run("analyze", "c.keras"), "'c.keras'", "--import")
    assert "model output" in succeeds(run("analyze", "c.keras", "--import", "custom_for_cli"))


def test_a_module_that_cannot_be_imported_is_named(run):
    fails(run("analyze", "{folder}/plain.keras", "--import", "no_such_module"), "no_such_module")


# --- the command itself ---


@pytest.mark.parametrize("arguments", [[], *[[name] for name in sorted(main.commands)]])
def test_help_is_shown(run, arguments):
    assert "Usage: keras-spp" in succeeds(run(*arguments, "--help"))


def test_the_version_is_shown(run):
    assert spp.__version__ in succeeds(run("--version"))


@pytest.mark.slow
def test_the_log_of_tensorflow_stays_out_of_the_output(folder, tmp_path):
    code = "import sys; from keras_spp.cli import main; print('begin', file=sys.stderr); main()"
    files = [folder / "plain.keras", tmp_path / "out.tflite"]
    result = subprocess.run(
        [sys.executable, "-c", code, "export", *files],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0
    assert result.stderr.endswith("begin\n")


def test_errors_of_programming_are_not_disguised(run, monkeypatch):
    def broken(model, **options):
        raise KeyError("bug")

    monkeypatch.setattr(spp, "analyze", broken)
    assert isinstance(run("analyze", "{folder}/plain.keras").exception, KeyError)
