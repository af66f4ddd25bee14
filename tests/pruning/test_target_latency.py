import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import tf_keras

import keras_spp as spp
from keras_spp.export.tflite import export_tflite
from keras_spp.pruning import target_latency as latency_target
from keras_spp.pruning.target_latency import CLOSE, parse
from tests.helpers.random_weights import shrunk_at_random


def milliseconds(size):
    """What a file of so many bytes takes on the device below."""
    return 0.05 + 1e-6 * size


class Steady(spp.Device):
    """A device on which latency is a matter of the file's size, whatever else goes on."""

    def __init__(self):
        super().__init__()
        self.timed = 0

    def measure(self, files):
        self._latencies |= {key: milliseconds(len(content)) for key, content in files.items()}

    def time(self, paths):
        paths = list(paths.values()) if isinstance(paths, dict) else [paths]
        times = [milliseconds(path.stat().st_size) for path in paths]
        self.timed += 1
        return [SimpleNamespace(median_ms=ms, ratio=times[0] / ms) for ms in times]


def net(width=48, keras=tf_keras):
    L = keras.layers
    x = keras.Input((12, 12, 3))
    y = L.ReLU()(L.Conv2D(width, 3, name="one")(x))
    y = L.ReLU()(L.Conv2D(width, 3, name="two")(y))
    y = L.ReLU()(L.Conv2D(width, 3, name="three")(y))
    return keras.Model(x, L.Dense(10)(L.GlobalAveragePooling2D()(y)))


def latency(model, tmp_path):
    return milliseconds(export_tflite(model, tmp_path / "m.tflite").bytes)


@pytest.mark.parametrize(
    ("target", "allocation"),
    [
        pytest.param(0.9, spp.Uniform(), marks=pytest.mark.slow),
        pytest.param(0.35, spp.Uniform(), marks=pytest.mark.slow),
        ("0.1 ms", spp.Uniform()),
        pytest.param(0.5, spp.Fisher(), marks=pytest.mark.slow),
        (0.5, spp.Search(trials=8)),
    ],
)
def test_what_is_left_after_pruning_takes_the_target(target, allocation, tmp_path):
    model, device = net(), Steady()
    images = np.random.default_rng(0).normal(size=(16, 12, 12, 3)).astype("float32")
    pruned = spp.prune(
        model, target_latency=target, device=device, round_to=1, allocation=allocation,
        representative_data=images,
    )  # fmt: skip
    wanted = target * latency(model, tmp_path) if isinstance(target, float) else parse(target)[0]
    assert latency(shrunk_at_random(pruned), tmp_path) == pytest.approx(wanted, rel=CLOSE + 0.02)
    assert device.timed <= latency_target.TRIES + 1


def test_what_is_compressed_takes_the_target(keras, tmp_path):
    model, device = net(keras=keras), Steady()
    images = np.random.default_rng(0).normal(size=(32, 12, 12, 3)).astype("float32")
    small = spp.compress(
        model, images, target_latency=0.5, device=device, round_to=1, verbose=0,
        allocation=spp.Uniform(),
    )  # fmt: skip
    wanted = 0.5 * latency(model, tmp_path)
    assert latency(small, tmp_path) == pytest.approx(wanted, rel=CLOSE + 0.02)
    assert isinstance(small, keras.Model)


def test_steps_too_coarse_for_the_target_are_said_and_the_nearest_is_taken(tmp_path):
    model = net(32)
    with pytest.warns(UserWarning, match=r"nearest to target_latency=0.9\d* takes .* round_to"):
        spp.prune(model, target_latency=0.93, device=Steady(), round_to=16)


def test_a_target_out_of_reach_is_refused():
    with pytest.raises(ValueError, match=r"`target_latency` is 0.01 but the strongest pruning"):
        spp.prune(net(), target_latency=0.01, device=Steady())


def test_a_target_that_is_met_already_is_refused():
    with pytest.raises(ValueError, match=r"`target_latency` is '9ms' but the model takes no long"):
        spp.prune(net(), target_latency="9ms", device=Steady())


@pytest.mark.parametrize(
    "target", [0, 1, 1.0, 0.0, -0.5, 2.5, True, "fast", "0ms", "-1ms", "5 s", "", [0.5], np.nan]
)
def test_what_is_no_target_is_refused(target):
    with pytest.raises(ValueError, match=r"`target_latency` must be a share .* or a time like"):
        spp.prune(net(), target_latency=target)


def test_columns_are_refused():
    with pytest.raises(ValueError, match='`granularity` must be "channel" with target_latency'):
        spp.prune(net(), target_latency=0.5, granularity="column")


def test_an_input_of_open_size_is_refused():
    L = tf_keras.layers
    model = tf_keras.Sequential([tf_keras.Input((None, None, 3)), L.Conv2D(16, 3), L.Conv2D(4, 3)])
    with pytest.raises(ValueError, match=r"`target_latency` .* because the model's input"):
        spp.prune(model, target_latency=0.5, round_to=1)


def test_an_unknown_device_is_refused_at_once():
    with pytest.raises(ValueError, match="`device` must be 'local'"):
        spp.prune(net(), target_latency=0.5, device="phone")


def test_on_this_machine_it_is_measured_for_real():
    device = spp.Device(runs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a loaded machine may not come close
        pruned = spp.prune(net(), target_latency=0.6, device=device, round_to=1)
    goals = spp.Pruner(pruned).sets.goal
    assert goals.sum() > 0 and len(device._latencies) == 20
