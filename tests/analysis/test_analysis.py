import json

import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L, random_model, random_probabilities


def net():
    x = keras.Input((8, 8, 3), name="image")
    y = L.Conv2D(16, 3, name="free")(x)
    y = L.Conv2D(8, 3, name="normed")(y)
    y = L.LayerNormalization(name="norm")(y)
    y = L.Softmax(name="softmax")(y)
    return keras.Model(x, L.Dense(4, name="head")(y), name="net")


def test_each_layer_says_whether_it_is_prunable_and_why_not():
    rows = {row.layer: row for row in spp.analyze(net())}
    assert (rows["free"].channels, rows["free"].groups, rows["free"].prunable) == (16, 16, True)
    assert rows["free"].reason is None
    assert (rows["normed"].groups, rows["normed"].reason) == (0, "mixes channels (norm)")
    assert rows["norm"].reason == rows["softmax"].reason == "mixes channels"
    assert rows["head"].reason == "model output"
    assert rows["free"].macs == 36 * 27 * 16 and rows["free"].params == 27 * 16 + 16


def test_totals_are_those_of_keras():
    report = spp.analyze(net())
    assert report.params == net().count_params()
    assert report.macs == sum(row.macs for row in report)
    assert len(report) == len(report.rows)


def test_a_report_prints_as_a_table_and_converts_to_plain_data():
    report = spp.analyze(net())
    text = " ".join(str(report).split())  # long reasons are folded
    assert "net" in text and "mixes channels (norm)" in text and f"{report.macs:,}" in text
    data = json.loads(json.dumps(report.to_dict()))
    assert data["macs"] == report.macs
    assert data["rows"][0] == report.rows[0]
    assert set(report.rows[0]) == {
        "layer", "type", "channels", "groups", "macs", "params", "prunable", "reason",
    }  # fmt: skip


def test_partly_frozen_channels_count_only_the_free_ones():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 1, name="a")(x)
    model = keras.Model(x, [L.Dense(4)(y), y[..., :3]])
    (row,) = [row for row in spp.analyze(model) if row.layer == "a"]
    assert (row.groups, row.prunable, row.reason) == (5, True, "model output")


def test_an_open_input_size_is_said():
    x = keras.Input((None, None, 3))
    report = spp.analyze(keras.Model(x, L.Conv2D(4, 1)(x)))
    assert not report.fixed_size and "input size open" in str(report)


def test_a_pruned_model_is_looked_through():
    model = random_model(4)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    assert spp.analyze(pruned).rows == spp.analyze(model).rows


def test_a_policy_shows_in_the_reasons():
    class NoConv(tfmot.sparsity.keras.PruningPolicy):
        def allow_pruning(self, layer):
            return layer.name != "free"

        def ensure_model_supports_pruning(self, model):
            pass

    rows = {row.layer: row for row in spp.analyze(net(), NoConv())}
    assert rows["free"].reason == "excluded by policy"


@pytest.mark.parametrize("seed", range(4))
def test_random_models_have_a_reason_for_everything_that_is_frozen(seed):
    for row in spp.analyze(random_model(seed)):
        assert row.prunable or row.reason, f"seed {seed}: {row}"
