import keras as keras3
import numpy as np
import pytest
import tf_keras

import keras_spp as spp
from keras_spp.devices import device as latency
from keras_spp.export import packing
from keras_spp.export.columns import LAYOUTS
from tests.helpers.slow import slow_but


class Scripted(spp.Device):
    """A device on which a layout takes as long as it is told, of whatever it is."""

    def __init__(self, **milliseconds):
        super().__init__()
        self.by_layout, self.measured = milliseconds, []

    def measure(self, files):
        self.measured.append(list(files))
        assert all(content[4:8] == b"TFL3" for content in files.values())
        self._latencies |= {key: self.by_layout[key.split()[-1]] for key in files}


def pruned_net(keras, seed=0):
    rng = np.random.default_rng(seed)
    x = keras.Input((12, 12, 8))
    y = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="one")(x)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    shared = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="shared")
    y = shared(keras.layers.MaxPooling2D()(shared(y)))
    inner = keras.Input((6, 6, 16))
    inner = keras.Model(
        inner, keras.layers.Conv2D(8, 3, strides=2, name="nested")(inner), name="inner"
    )
    model = keras.Model(x, keras.layers.Conv2D(4, 1, name="whole")(inner(y)))
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)  # in Keras 3 the path has the layer's name
        value = rng.normal(size=weight.shape) / np.sqrt(np.prod(weight.shape[:-1]))
        if "variance" in name:
            value = 0.5 + abs(value)
        if "kernel" in name and "whole" not in name and len(value.shape) == 4:
            value *= (rng.random(value.shape[:3]) < 0.4)[..., None]
        weight.assign(value)
    return model, rng.normal(size=(32, 12, 12, 8)).astype("float32")


def layouts(report):
    return {row.layer: row.layout for row in report.packed}


@pytest.mark.parametrize("layout", ["gather", "rows"])
def test_a_packed_file_gives_the_outputs_of_the_model(keras, layout, tmp_path):
    model, x = pruned_net(keras)
    times = {"dense": 1.0, "gather": 0.9, "rows": 0.9} | {layout: 0.5}
    device = Scripted(**times)
    report = spp.export_tflite(model, tmp_path / "m.tflite", batch_size=2, device=device)
    assert layouts(report) == dict.fromkeys(["one", "shared", "nested"], layout)
    (row,) = spp.parity(model, tmp_path / "m.tflite", x)
    assert row.max_difference < 1e-5 * row.largest
    # Two shapes of the shared layer, one of the others; each in all layouts.
    assert [len(keys) for keys in device.measured] == [3] * 4
    one = next(row for row in report.packed if row.layer == "shared")
    assert one.milliseconds == {name: 2 * ms for name, ms in times.items()}


@pytest.mark.parametrize(
    "quantization",
    slow_but(["float16", "dynamic", "int8", "int16x8"], ["dynamic", "int8"]),
)
@pytest.mark.usefixtures("warm_quantizer")
def test_quantized_files_are_as_close_as_without_packing(keras, quantization, tmp_path):
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 16)), keras.layers.Conv2D(8, 3, activation="relu")]
    )
    kernel = rng.normal(size=(3, 3, 16, 8)) / 12
    model.layers[0].kernel.assign(kernel * (rng.random((3, 3, 16)) < 0.4)[..., None])
    x, options = rng.normal(size=(32, 6, 6, 16)).astype("float32"), {}
    if quantization.startswith("int"):
        kind = quantization.partition("x")[0]
        options = {"representative_data": x, "input_type": kind, "output_type": kind}
    differences = []
    for pack in (True, False):
        report = spp.export_tflite(
            model, tmp_path / "m.tflite", quantization, pack=pack,
            device=Scripted(dense=3, gather=1, rows=2), **options,
        )  # fmt: skip
        assert list(layouts(report).values()) == ["gather"] * pack
        assert report.inputs[0].dtype == options.get("input_type", "float32")
        (row,) = spp.parity(model, tmp_path / "m.tflite", x)
        differences.append(row.mean_difference)
    assert differences[0] < 1.2 * differences[1] + 1e-6


def test_a_kernel_with_lora_stays_dense(tmp_path):
    model = keras3.Sequential([keras3.Input((6, 6, 8)), keras3.layers.Conv2D(4, 3)])
    (layer,) = model.layers
    layer.kernel.assign(np.ones((3, 3, 8, 4)) * (np.arange(8) % 2)[:, None])
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    device = Scripted(dense=3, gather=1, rows=2)
    assert spp.export_tflite(model, tmp_path / "m.tflite", device=device).packed == ()
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 8)).astype("float32")
    (row,) = spp.parity(model, tmp_path / "m.tflite", x)
    assert row.max_difference < 1e-5 * row.largest


def test_what_is_not_faster_stays_dense(keras, tmp_path):
    model, _ = pruned_net(keras)
    path = tmp_path / "m.tflite"
    report = spp.export_tflite(model, path, device=Scripted(dense=1, gather=0.97, rows=1.5))
    assert set(layouts(report).values()) == {"dense"}
    whole = spp.export_tflite(model, tmp_path / "whole.tflite", pack=False)
    assert whole.bytes == pytest.approx(report.bytes, abs=500)  # metadata


def test_the_report_the_file_and_json_say_what_was_done(keras, tmp_path):
    model, _ = pruned_net(keras)
    path = tmp_path / "m.tflite"
    report = spp.export_tflite(model, path, device=Scripted(dense=3, gather=2, rows=1))
    row = report.packed[0]
    left = int(np.any(model.get_layer("one").kernel.numpy(), -1).sum())
    assert row.columns == (left, 72) and f"one: {left} of 72 columns, rows, 3.00x" in str(report)
    assert spp.read_metadata(path)["columns"]["one"] == [left, 72, "rows"]
    assert report.to_dict()["packed"][0]["milliseconds"] == {"dense": 3, "gather": 2, "rows": 1}


def test_nothing_is_measured_twice_or_without_need(keras, tmp_path, monkeypatch):
    model, _ = pruned_net(keras)
    device = Scripted(dense=3, gather=2, rows=1)
    for _ in range(2):
        spp.export_tflite(model, tmp_path / "m.tflite", device=device)
    assert len(device.measured) == 4
    model.get_layer("one").kernel.assign(model.get_layer("one").kernel[:, :, ::-1])
    spp.export_tflite(model, tmp_path / "m.tflite", device=device)
    assert len(device.measured) == 5  # other columns
    monkeypatch.setattr(latency, "benchmark", lambda *_, **__: pytest.fail("measures"))
    plain = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    assert spp.export_tflite(plain, tmp_path / "m.tflite").packed == ()
    assert spp.export_tflite(model, tmp_path / "m.tflite", pack=False).packed == ()


def test_a_lost_device_leaves_the_previous_file(keras, tmp_path):
    class Lost(spp.Device):
        def measure(self, files):
            raise ConnectionError("gone")

    model, _ = pruned_net(keras)
    path = tmp_path / "m.tflite"
    path.write_text("previous")
    with pytest.raises(ConnectionError, match="gone"):
        spp.export_tflite(model, path, device=Lost())
    assert path.read_text() == "previous" and list(tmp_path.iterdir()) == [path]


def test_on_this_machine_it_is_measured_for_real(keras, tmp_path):
    model, x = pruned_net(keras)
    report = spp.export_tflite(model, tmp_path / "m.tflite", device=spp.Device(runs=3))
    for row in report.packed:
        assert set(row.milliseconds) == set(LAYOUTS)
        assert all(ms > 0 for ms in row.milliseconds.values())
        best = min(row.milliseconds.values())
        assert row.milliseconds[row.layout] <= packing.GAIN * best
    (parity,) = spp.parity(model, tmp_path / "m.tflite", x)
    assert parity.max_difference < 1e-5 * parity.largest


def test_a_convolution_of_more_than_one_batch_axis_stays_dense(tmp_path):  # none in Keras 3
    model, _ = pruned_net(tf_keras)
    layer = model.get_layer("shared")
    inputs = tf_keras.Input((3, 12, 12, 16))
    video = tf_keras.Model(inputs, layer(inputs))
    report = spp.export_tflite(video, tmp_path / "m.tflite", device=Scripted(dense=2, rows=1))
    assert report.packed == ()
    frames = np.random.default_rng(0).normal(size=(2, 3, 12, 12, 16)).astype("float32")
    (row,) = spp.parity(video, tmp_path / "m.tflite", frames)
    assert row.max_difference < 1e-5 * row.largest


@pytest.mark.parametrize("device", ["phone", None, 3])
def test_an_unknown_device_is_refused(keras, device, tmp_path):
    with pytest.raises(ValueError, match="`device` must be 'local', "):
        spp.export_tflite(pruned_net(keras)[0], tmp_path / "m.tflite", device=device)
