"""Through the real adb to a device on this machine (loopback_adb), which is no phone.

What adb says and does is real; what benchmark_model prints are transcripts in its documented format
(benchmark_model/README.md).
"""

import re
import shutil
import struct

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_spp.devices import android, job, runner
from keras_spp.devices.benchmark import benchmark
from keras_spp.export.tflite import export_tflite
from tests.helpers.loopback_adb import Adb, Device
from tests.helpers.sentences import refused

layers = keras.layers


@pytest.fixture
def adb(tmp_path, monkeypatch):
    adb = Adb(tmp_path, monkeypatch)
    yield adb
    adb.stop()
    assert [device.left_behind() for device in adb.devices] == [[]] * len(adb.devices)


@pytest.fixture
def phone(adb, tmp_path):
    device = Device(tmp_path / "phone")
    assert "connected" in adb.connect(device)
    return device


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "dense.tflite"
    image, side = keras.Input((8, 8, 3)), keras.Input((5,))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    export_tflite(keras.Model([image, side], layers.Concatenate()([x, side])), path)
    return path


def program(path, machine=183):
    """A file with the head of a program for the processor, which the device's shell cannot run."""
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(40))
    return path


# --- what is measured ---


def test_what_benchmark_model_prints_is_reported(phone, dense):
    parts = []
    files = {"dense": dense, "small": dense}
    report = benchmark(files, "android", threads=2, progress=parts.append)
    first, small = report
    assert report.device == "android" and report.system == "Loopback, Android 14, arm64-v8a"
    assert (first.median_ms, first.p95_ms, first.min_ms) == pytest.approx((4.012, 4.42, 3.99))
    assert (small.median_ms, small.ratio) == pytest.approx((2.006, 2.0))
    assert first.p90_ms is None and "?" in str(report)
    assert (first.runs, first.threads, first.delegated_nodes) == (50, 2, 3)
    assert parts == pytest.approx([k / 10 for k in range(1, 11)])


def test_files_take_turns_back_and_forth(phone, dense):
    benchmark({"a": dense, "b": dense}, f"android:{phone.serial}")
    order = [re.search(r"--graph=\S+/(\d)\.tflite", call)[1] for call in phone.calls]
    assert "".join(order) == "01" + "10" + "01" + "10" + "01"


def test_the_options_are_those_of_benchmark_model(phone, dense):
    benchmark(dense, "android", threads=3, warmup=0, timeout=100)
    (call,) = {re.sub(r"keras-spp-\w+|max_secs=\d+", "x", call) for call in phone.calls}
    words = re.split(r"[ ']+", call)
    for word in (
        "--num_threads=3", "--num_runs=10", "--warmup_runs=1", "--min_secs=0",
        "--warmup_min_secs=0", "--use_xnnpack=true", "--input_layer=in0,in1",
        "--input_layer_shape=1,8,8,3:1,5",
    ):  # fmt: skip
        assert word in words


@pytest.mark.parametrize(
    ("delegate", "flag", "transcript", "nodes"),
    [
        ("none", "--use_xnnpack=false", "without_delegate.txt", 0),
        ("gpu", "--use_gpu=true", "gpu.txt", 4),
    ],
)
def test_a_delegate_is_asked_for(phone, dense, delegate, flag, transcript, nodes):
    phone.set_transcripts(transcript)
    (row,) = benchmark(dense, "android", delegate=delegate)
    assert row.delegated_nodes == nodes
    assert all(f" {flag}" in call and call.count("--use_") == 1 for call in phone.calls)


def test_a_delegate_that_the_device_lacks_is_an_error(phone, dense):
    phone.set_transcripts("nnapi_unsupported.txt")
    refused(ValueError, r"without the `delegate` 'nnapi'", dense, "android", delegate="nnapi")


def test_the_inputs_are_those_of_the_other_devices(phone, dense, monkeypatch):
    # The device's benchmark_model says how it finds them.
    script = phone.folder / "benchmark_model"
    check = "for a in $(echo \"$*\" | grep -o '/[^ :,]*/0\\.[01]'); do od -An -tx1 -v $a; done"
    seen = phone.folder.parent / "seen"
    script.write_text(script.read_text().replace("case", f"({check}) > {seen}\ncase", 1))
    benchmark(dense, "android")
    interpreter = runner.Interpreter(model_path=str(dense))
    random = runner.random_inputs(interpreter.get_input_details())
    given = [value + 1 for value in random]
    for values, options in ((random, {}), (given, {"inputs": given})):
        benchmark(dense, "android", **options)
        assert bytes.fromhex(seen.read_text()) == b"".join(map(np.ndarray.tobytes, values))


def test_inputs_that_do_not_fit_are_refused_before_anything_is_copied(phone, dense):
    refused(ValueError, r"`inputs` must hold 2 arrays", dense, "android", inputs=np.zeros(3))
    assert phone.calls == []


@pytest.mark.parametrize("name", ["a b.tflite", "$(touch owned);'\"`x`.tflite", "größe\n.tflite"])
def test_any_file_name_works(phone, dense, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(dense.read_bytes())
    (row,) = benchmark(path, "android")
    assert row.name == path.stem


def test_a_binary_is_copied_and_removed(phone, dense, tmp_path):
    (phone.folder / "benchmark_model").rename(tmp_path / "script")
    # A script instead of a program: only its first bytes would tell.
    android_machine = pytest.MonkeyPatch()
    android_machine.setattr(android, "_processor", lambda binary: "arm64-v8a")
    try:
        (row,) = benchmark(dense, "android", binary=tmp_path / "script")
    finally:
        android_machine.undo()
    assert row.runs == 50
    assert all(
        re.search(r"exec /data/local/tmp/keras-spp-\w+/benchmark_model ", c) for c in phone.calls
    )


# --- what goes wrong ---


def test_a_computer_without_adb_is_told_to_install_it(dense, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(FileNotFoundError, r"there is no `adb` on this computer", dense, "android")


def test_no_device_at_all(adb, dense):
    refused(ConnectionError, r"'android' but adb sees no device: plug one in", dense, "android")
    refused(ConnectionError, r"no device X1, none at all: plug it in", dense, "android:X1")


def test_a_serial_number_that_is_not_there(phone, dense):
    match = rf"adb sees no device X1, only {phone.serial}"
    refused(ConnectionError, match, dense, "android:X1")


def test_several_devices(adb, phone, dense, tmp_path):
    other = Device(tmp_path / "other")
    adb.connect(other)
    message = refused(ConnectionError, r"`device` must be one of .*several", dense, "android")
    assert f"'android:{phone.serial}'" in message and f"'android:{other.serial}'" in message
    assert benchmark(dense, f"android:{other.serial}")[0].runs == 50
    assert other.calls and not phone.calls


def test_a_device_that_does_not_trust_this_computer(adb, dense, tmp_path):
    device = Device(tmp_path / "phone")
    device.trusting = False
    adb.connect(device)
    refused(ConnectionError, r"does not trust this computer: unlock it", dense, "android")


def test_a_device_that_is_offline(adb, phone, dense):
    phone.stop()
    refused(ConnectionError, r"is offline: plug it in again|sees no device", dense, "android")


@pytest.mark.parametrize(
    ("machine", "word"), [(40, "armeabi-v7a"), (62, "x86_64"), (8, "machine 8")]
)
def test_a_binary_for_another_processor(phone, dense, tmp_path, machine, word):
    binary = program(tmp_path / "benchmark_model", machine)
    match = rf"`binary` is .* built for .*{word}.*, but 'android' runs arm64-v8a"
    refused(ValueError, match, dense, "android", binary=binary)
    assert phone.calls == []


def test_a_binary_that_the_device_cannot_execute(phone, dense, tmp_path):
    binary = program(tmp_path / "benchmark_model")
    refused(ValueError, r"`binary` must be .* can execute but it cannot", dense, "android",
            binary=binary)  # fmt: skip


def test_a_binary_that_is_none(phone, dense, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no program")
    refused(ValueError, r"`binary` is .*notes.* not a program", dense, "android", binary=text)
    gone = tmp_path / "gone"
    refused(FileNotFoundError, r"`binary` is .*gone.* not a file", dense, "android", binary=gone)


def test_a_device_without_benchmark_model(phone, dense):
    (phone.folder / "benchmark_model").unlink()
    refused(FileNotFoundError, r"`binary` must be given because 'android' has no /data/local/tmp",
            dense, "android")  # fmt: skip


def test_full_storage(phone, dense):
    phone.full = True
    refused(OSError, r"whose /data/local/tmp is full \(.*No space left.*free", dense, "android")


def test_an_operation_that_benchmark_model_lacks(phone, dense):
    phone.set_transcripts("operation_lacking.txt", status=1)
    match = r"`models` has .*dense\.tflite' for 'dense'.* benchmark_model lacks .*CUMSUM"
    refused(ValueError, match, dense, "android")


def test_a_damaged_file_is_named_before_anything_is_copied(phone, dense, tmp_path):
    (tmp_path / "cut.tflite").write_bytes(dense.read_bytes()[:-200])
    refused(ValueError, r"cut\.tflite.* cannot be loaded", tmp_path / "cut.tflite", "android")
    assert phone.calls == []


def test_a_file_with_a_scalar_input_is_refused(phone, tmp_path):
    double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((), tf.float32, "x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()])
    path = tmp_path / "scalar.tflite"
    path.write_bytes(converter.convert())
    refused(ValueError, r"`models` has .*scalar\.tflite.* is a scalar", path, "android")
    assert phone.calls == []


def test_a_measurement_that_does_not_end_in_time_is_given_up(phone, dense):
    (phone.folder / "benchmark_model").write_text("#!/bin/sh\nexec sleep 60.125\n")
    refused(TimeoutError, r"`timeout` is 4 seconds but 'android'", dense, "android", timeout=4)
    assert not phone.runs("sleep 60.125")


def test_a_dropped_connection_is_made_again_by_adb(phone, dense, monkeypatch):
    monkeypatch.setattr(job, "_PAUSE", 0.1)
    phone.drops = 1
    assert benchmark(dense, f"android:{phone.serial}", retries=1)[0].runs == 50
    assert len(phone.calls) == 1 + 5


def test_a_device_that_does_not_come_back_is_given_up(phone, dense, monkeypatch):
    monkeypatch.setattr(job, "_PAUSE", 0.1)
    monkeypatch.setattr(android, "_RECONNECTING", 1.0)
    phone.drops = 9
    refused(ConnectionError, r"lost the connection 2 times \(", dense, "android", retries=1)
    assert len(phone.calls) == 2
    assert phone.left_behind() == []  # adb found it again once more


def test_a_device_that_hangs_when_it_is_tidied_up_does_not_hide_the_error(
    phone, dense, monkeypatch
):
    monkeypatch.setattr(android, "_CLEANING", 0.3)
    phone.hangs_on = "rm -rf"
    phone.set_transcripts("without_percentiles.txt")
    refused(ValueError, r"prints no percentiles", dense, "android")
    (folder,) = phone.left_behind()
    shutil.rmtree(phone.folder / folder)


def test_a_device_that_hangs_is_given_up(phone, dense):
    phone.hangs_on = "getprop"
    refused(TimeoutError, r"`timeout` is 2 seconds but 'android'", dense, "android", timeout=2)
