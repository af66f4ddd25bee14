import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks import lockstep
from keras_spp.pruning import compensated_search
from keras_spp.pruning.compensated_search import CompensatedSearch
from tests.compensation.test_compensate import images, lost, residual_net
from tests.helpers.random_weights import randomize
from tests.helpers.sentences import assert_one_sentence
from tests.zoo.models import L


@pytest.fixture(scope="module")
def model():
    return residual_net()


def compress(model, x, *arguments, **options):
    # A search takes most of the time, and fitting the rest; what they find is not tested here.
    options = {"verbose": 0, "round_to": 1, "allocation": spp.Uniform(), "epochs": 1, **options}
    return spp.compress(model, x, *arguments, **options)


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_one_call_gives_half_the_macs_and_most_of_the_outputs(model, granularity):
    before = model.get_weights()
    search = spp.Search(trials=8, verbose=0)
    small, report = compress(
        model, images(), granularity=granularity, allocation=search, return_report=True
    )
    at_once = spp.prune(
        model, target_speedup=2.0, granularity=granularity, round_to=1,
        schedule=spp.OneShotSchedule(), representative_data=images(), allocation=search,
    )  # fmt: skip
    at_once.compile(keras.optimizers.SGD(0.0), "mse")
    data = images(), np.zeros((256, 10))
    at_once.fit(*data, epochs=2, callbacks=[spp.SPPCallback()], verbose=0)
    held_out = images(seed=1)
    assert lost(model, small, held_out) < 0.5 * lost(model, spp.shrink(at_once), held_out)
    if granularity == "channel":
        assert spp.analyze(model).macs >= 2 * spp.analyze(small).macs
    assert {type(layer).__module__.partition(".")[0] for layer in small.layers} == {"tf_keras"}
    assert report.samples == 224 and report.held_back == 32
    assert 0 < report.outputs[0].lost < 1 and 0 <= report.outputs[0].agreement <= 1
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_report_counts_what_the_models_have(model):
    small, report = compress(model, images(), 3.0, return_report=True)
    before, after = spp.analyze(model), spp.analyze(small)
    assert report.macs == (before.macs, after.macs) and report.speedup == before.macs / after.macs
    assert report.params == (model.count_params(), small.count_params())
    assert {row.layer: row.channels for row in report}["a0"] == (16, small.get_layer("a0").filters)
    assert [row.layer for row in report] == [
        *(f"{kind}{n}" for n in range(3) for kind in "ab"), "top"
    ]  # fmt: skip
    assert report.to_dict()["rows"][0]["layer"] == "a0"
    assert "held back" in str(report) and f"{after.macs:,}" in str(report)


def test_without_an_allocation_plans_are_searched(model, monkeypatch):
    searched = []
    monkeypatch.setattr(spp.Search, "search", lambda self, meet: searched.append(self.samples))
    monkeypatch.setattr(CompensatedSearch, "_decide", lambda self, outcome, meet: None)
    compress(model, images(128), allocation=None)
    assert searched == [256] * 3  # quick plans in two orders, and plans that are carried out
    compress(model, images(24), allocation=None)
    assert len(searched) == 4  # too few samples to carry plans out and judge them by others


def test_of_the_best_few_plans_that_one_is_taken_which_is_best_by_more_samples(model, monkeypatch):
    monkeypatch.setattr(compensated_search, "TRIALS", (4, 4))
    monkeypatch.setattr(compensated_search, "PLANS", (6, 8))
    monkeypatch.setattr(compensated_search, "FINALISTS", 3)
    rated = []

    def better(self, used, judged):
        assert len(used) + len(judged) == 16 and len(judged) == 5  # of 512 samples
        return lambda goals: rated.append(tuple(goals)) or (3, 1, 2)[len(rated) - 1]

    monkeypatch.setattr(compensated_search.Outcome, "of", better)
    taken = []
    at_once = compensated_search.pruned_at_once
    monkeypatch.setattr(
        "keras_spp.pruning.compress.pruned_at_once",
        lambda model, groups, goals: taken.append(tuple(goals)) or at_once(model, groups, goals),
    )
    compress(model, images(512), 2.0, allocation=None)
    assert len(rated) == len(set(rated)) == 3 and taken == [rated[1]]


@pytest.mark.slow
def test_plans_that_are_carried_out_end_closer_to_the_whole_network(model, monkeypatch):
    monkeypatch.setattr(compensated_search, "TRIALS", (8, 8))
    monkeypatch.setattr(compensated_search, "PLANS", (6, 8))
    x, held_out, ends = images(512), images(seed=1), []
    for search in spp.Search(trials=8, verbose=0), CompensatedSearch(verbose=0):
        small = compress(model, x, 3.0, allocation=search)
        assert spp.analyze(model).macs >= 3 * spp.analyze(small).macs
        ends.append(lost(model, small, held_out))
    assert ends[1] <= ends[0]


def test_it_prints_a_table_unless_it_is_told_not_to(model, capsys):
    spp.compress(model, images(64), pruning_ratio=0.5, verbose=0)
    assert capsys.readouterr().out == ""
    spp.compress(model, images(64), pruning_ratio=0.5)
    out = capsys.readouterr().out
    assert "parameters" in out and "%" in out


def test_twice_is_bit_for_bit_the_same(model):
    first, second = (compress(model, images(128), samples=100) for _ in range(2))
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_not_held_is_computed_again(model, monkeypatch):
    held = compress(model, images(128), pruning_ratio=0.5)
    monkeypatch.setattr(lockstep, "MEMORY", 0)
    again = compress(model, images(128), pruning_ratio=0.5)
    x = images(seed=1)
    np.testing.assert_allclose(held(x), again(x), rtol=0.02, atol=0.02)


def test_the_options_of_prune_are_those_of_compress(model):
    small = compress(model, images(), pruning_ratio={"a0": 0.5, "a1": 0.25})
    filters = [small.get_layer(f"{kind}{n}").filters for n in range(3) for kind in "ab"]
    assert filters == [8, 16, 12, 16, 16, 16]
    evenly = {"allocation": spp.Uniform(), "epochs": 0, "verbose": 0}
    small = spp.compress(model, images(), pruning_ratio=0.3, round_to=8, **evenly)
    assert {layer.filters % 8 for layer in small.layers if isinstance(layer, L.Conv2D)} == {0}


def test_several_inputs_labels_and_batches_of_one_size():
    image, vector = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="vector")
    x = L.GlobalAveragePooling2D()(L.Conv2D(16, 3, activation="relu")(image))
    x = L.Concatenate()([x, L.Dense(16, "relu")(vector)])
    model = randomize(keras.Model({"image": image, "vector": vector}, L.Dense(3)(x)))
    inputs = {"image": images(96), "vector": np.random.default_rng(0).normal(size=(96, 4))}
    data = tf.data.Dataset.from_tensor_slices((inputs, np.zeros(96))).batch(20)
    small, report = compress(model, data, pruning_ratio=0.5, return_report=True)
    assert report.samples + report.held_back == 96
    assert small(inputs).shape == (96, 3)

    fixed = keras.Sequential([
        keras.Input((8, 8, 3), batch_size=4), L.Conv2D(16, 3, activation="relu"), L.Flatten(),
        L.Dense(3),
    ])  # fmt: skip
    _, report = compress(randomize(fixed), images(70), pruning_ratio=0.5, return_report=True)
    assert (report.samples, report.held_back) == (60, 8)


def test_an_open_input_size_needs_a_ratio_or_a_size():
    model = randomize(
        keras.Sequential([
            keras.Input((None, None, 3)), L.Conv2D(16, 3, activation="relu"), L.Conv2D(16, 3),
            L.GlobalAveragePooling2D(), L.Dense(3),
        ])
    )  # fmt: skip
    with pytest.raises(ValueError, match="give input_shape"):
        compress(model, images())
    small, report = compress(model, images(), pruning_ratio=0.5, return_report=True)
    assert report.macs is None and report.speedup is None and "parameters" in str(report)
    assert small.input_shape == (None, None, None, 3)
    _, report = compress(model, images(), input_shape=(8, 8, 3), return_report=True)
    assert report.speedup >= 2


def test_it_can_be_pruned_again_and_remembers_the_first(model, tmp_path):
    once = compress(model, images(64), pruning_ratio=0.25)
    twice = compress(once, images(64), pruning_ratio=0.25)
    exported = spp.export_tflite(twice, tmp_path / "twice.tflite")
    pruned = exported.metadata["pruned"]
    assert pruned["macs"][0] == spp.analyze(model).macs
    assert pruned["last_round"]["macs"][0] == spp.analyze(once).macs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_speedup": 0.5}, "`target_speedup` must be"),
        ({"target_speedup": 2, "pruning_ratio": 0.5}, "exclude each other"),
        ({"samples": 0}, "`samples` must be an integer"),
        ({"epochs": -1}, "`epochs` must be an integer of at least 0"),
        ({"samples": 15}, "at least 16 samples"),
        ({"verbose": -1}, "`verbose` must be an integer"),
        ({"granularity": "row"}, "`granularity` must be"),
        ({"round_to": 64}, "has nothing to prune"),
        ({"allocation": spp.Search}, "is the class"),
    ],
)
def test_bad_arguments_get_one_sentence(model, options, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        compress(model, images(64), **options)
    assert_one_sentence(error)


def test_models_that_are_none_and_models_with_nothing_to_prune_are_refused():
    with pytest.raises(TypeError, match="must be a Keras model"):
        compress("model.keras", images(64))
    one = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="has nothing to prune"):
        compress(one, images(64))
    with pytest.raises(ValueError, match="shrink"):
        compress(spp.prune(residual_net(), pruning_ratio=0.5), images(64))
