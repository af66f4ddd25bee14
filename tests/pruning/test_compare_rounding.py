import json
from types import SimpleNamespace

import pytest

import keras_spp as spp
from keras_spp.pruning import compare_rounding as rounding
from tests.helpers.sentences import assert_one_sentence


class InBlocks(spp.Device):
    """A device on which a file takes as long as its size says, in steps of two kilobytes."""

    def time(self, paths):
        times = {name: -(-path.stat().st_size // 2048) for name, path in paths.items()}
        rows = [SimpleNamespace(name=name, ratio=times["dense"] / ms) for name, ms in times.items()]
        return _Report(rows)


class _Report(list):
    system = "blocks of two"


def net(keras):
    x = keras.Input((12, 12, 3))
    y = keras.layers.Conv2D(24, 3, activation="relu")(x)
    y = keras.layers.Conv2D(40, 3, activation="relu")(y)
    y = keras.layers.Conv2D(40, 3)(y)
    return keras.Model(x, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(y)))


@pytest.fixture
def report(keras):
    return spp.compare_rounding(net(keras), 2.0, round_to=[1, 8, 16, 64], device=InBlocks())


def test_each_multiple_meets_the_target_and_rounding_costs_macs(report):
    gains = {row.round_to: row.macs_speedup for row in report}
    assert list(gains) == [1, 8, 16]
    assert all(gain >= 2 for gain in gains.values()) and gains[1] < 2.1 < gains[16]


def test_latency_is_that_of_the_small_files_beside_the_dense_one(report):
    for row in report:
        assert row.latency_speedup > 1
        assert row.realised == pytest.approx(row.latency_speedup / row.macs_speedup)


def test_a_multiple_in_which_the_target_is_out_of_reach_is_reported_with_the_reason(report):
    assert list(report.unreachable) == [64]
    assert "nothing to prune" in report.unreachable[64]
    said = json.loads(json.dumps(report.to_dict()))
    assert said["unreachable"]["64"] == report.unreachable[64]
    assert "round_to=64" in str(report) and "blocks of two" in str(report)


def test_any_number_survives_with_1_even_where_whole_blocks_would_meet_the_target(
    keras, monkeypatch
):
    seen = {}

    def shrunk_to(*args):
        small = original(*args)
        seen[len(seen)] = [v.shape[-1] for v in small.trainable_variables if len(v.shape) == 4]
        return small

    original = rounding.shrunk_to
    monkeypatch.setattr(rounding, "shrunk_to", shrunk_to)
    x = keras.Input((12, 12, 3))
    y = keras.layers.Conv2D(64, 3)(keras.layers.Conv2D(64, 3)(x))
    model = keras.Model(x, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(y)))
    spp.compare_rounding(model, 1.9, round_to=[1, 16], device=InBlocks())
    assert any(width % 16 for width in seen[0]) and not any(width % 16 for width in seen[1])


def test_files_are_stored_as_asked(keras, monkeypatch):
    asked = []
    original = rounding.export_tflite

    def export(model, path, quantization, **options):
        asked.append(quantization)
        return original(model, path, quantization, **options)

    monkeypatch.setattr(rounding, "export_tflite", export)
    report = spp.compare_rounding(
        net(keras), 1.5, round_to=[8], device=InBlocks(), quantization="dynamic"
    )
    assert asked == ["dynamic"] * 2 and report.quantization == "dynamic"
    with pytest.raises(ValueError, match="representative_data") as caught:
        spp.compare_rounding(net(keras), 1.5, round_to=[8], device=InBlocks(), quantization="int8")
    assert_one_sentence(caught)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"round_to": []}, ValueError, "`round_to` must name at least one multiple but is empty"),
        ({"round_to": [0]}, ValueError, "`round_to` must be"),
        ({"round_to": [8.5]}, (TypeError, ValueError), "`round_to` must be"),
        ({"target_speedup": 1e6}, ValueError, "`target_speedup` is 1e\\+06 but the largest"),
        ({"target_speedup": 0.5}, ValueError, "`target_speedup` must be"),
        ({"device": "phone"}, ValueError, "`device`"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(keras, arguments, kind, message):
    given = {"target_speedup": 2.0, "round_to": [8], "device": InBlocks(), **arguments}
    with pytest.raises(kind, match=message) as caught:
        spp.compare_rounding(net(keras), **given)
    assert_one_sentence(caught)
