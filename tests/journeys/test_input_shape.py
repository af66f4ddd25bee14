"""Inputs of open size: counted, pruned and timed at the size that is given, and open afterwards."""

import json

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import keras_spp as spp
from keras_spp.cli import main
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L, random_probabilities, randomize

OPEN, FIXED = (None, None, 3), (24, 20, 3)


def network(*shapes, dtype=None):
    """Two strides apart, so that it matters at which size MACs are counted."""
    x = [keras.Input(shape, name=f"image-{n}", dtype=dtype) for n, shape in enumerate(shapes)]
    y = L.Concatenate()(x) if len(x) > 1 else x[0]
    y = L.BatchNormalization(name="normal")(
        L.Conv2D(16, 3, strides=2, padding="same", name="first")(y)
    )
    y = L.Conv2D(16, 3, activation="relu", name="second")(y)
    y = L.Conv2D(24, 1, strides=2, name="third")(y)
    y = L.Dense(64, activation="relu", name="fourth")(L.GlobalAveragePooling2D()(y))
    return randomize(keras.Model(x if len(x) > 1 else x[0], L.Dense(4, name="head")(y), name="net"))


def plan(pruned):
    """How many groups of each set are to go."""
    return {e["name"]: e["goal"] for wrapper in find_wrappers(pruned) for e in wrapper.sets}


def test_analyze_counts_what_it_counts_in_a_model_of_that_size():
    found = spp.analyze(network(OPEN), input_shape=FIXED)
    assert found.to_dict() == spp.analyze(network(FIXED)).to_dict() and found.fixed_size
    assert not spp.analyze(network(OPEN)).fixed_size
    for size in (FIXED, (np.int64(24), np.int32(20), 3), np.array(FIXED), {"image-0": FIXED}):
        assert spp.analyze(network(OPEN), input_shape=size).macs == found.macs


def test_several_inputs_are_named():
    other = (None, 20, 1)
    expected = spp.analyze(network(FIXED, (24, 20, 1)))
    for names in (("image-0", "image-1"), ("image_0", "image_1")):
        sizes = dict(zip(names, (FIXED, (24, 20, 1)), strict=True))
        assert spp.analyze(network(OPEN, other), input_shape=sizes).macs == expected.macs
    only = spp.analyze(network(FIXED, other), input_shape={"image-1": (24, 20, 1)})
    assert only.macs == expected.macs


@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.parametrize("allocation", [None, spp.Fisher(passes=4)])
def test_prune_plans_as_for_a_model_of_that_size(granularity, allocation):
    images = np.random.default_rng(0).normal(size=(16, *FIXED)).astype("float32")
    options = {
        "target_speedup": 2.0, "round_to": 1, "granularity": granularity,
        "allocation": allocation, "representative_data": images if allocation else None,
    }  # fmt: skip
    pruned = spp.prune(network(OPEN), **options, input_shape=FIXED)
    assert plan(pruned) == plan(spp.prune(network(FIXED), **options))
    other = spp.prune(network(OPEN), **options, input_shape=(9, 9, 3))
    assert plan(pruned) != plan(other), "or nothing is shown"
    assert pruned.input_shape == (None, *OPEN)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m", None])
def test_progress_counts_at_that_size_after_saving_and_loading_too(tmp_path, name):
    options = {"target_speedup": 2.0, "round_to": 1}
    pruned = spp.prune(network(OPEN), **options, input_shape=FIXED)
    random_probabilities(pruned, settled=True)
    if name:
        pruned.save(tmp_path / name)
        pruned = keras.models.load_model(tmp_path / name)
    progress = spp.Pruner(pruned).progress()
    assert progress.finished and progress.macs_speedup >= 2
    small = spp.shrink(pruned)
    assert small.input_shape == (None, *OPEN)
    speedup = (
        spp.analyze(network(OPEN), input_shape=FIXED).macs
        / spp.analyze(small, input_shape=FIXED).macs
    )
    assert progress.macs_speedup == pytest.approx(speedup, rel=1e-12)
    for size in (FIXED, (9, 31, 3)):
        x = np.random.default_rng(1).normal(size=(2, *size)).astype("float32")
        np.testing.assert_allclose(small(x), pruned(x, training=False), rtol=1e-4, atol=1e-5)


def test_it_trains_on_any_size_and_ends_at_the_target():
    schedule = spp.SPPSchedule(A=0.3, frequency=1)
    pruned = spp.prune(
        network(OPEN), target_speedup=2.0, schedule=schedule, round_to=1, input_shape=FIXED
    )
    pruned.compile(keras.optimizers.SGD(0.01), "mse")
    x, y = np.ones((160, 14, 15, 3), "float32"), np.ones((160, 4), "float32")
    x = x * np.random.default_rng(0).normal(size=x.shape)
    history = pruned.fit(x, y, batch_size=4, verbose=0, callbacks=[spp.SPPCallback()]).history
    assert history["groups_decided"] == [1.0] and history["macs_speedup"][0] >= 2


def test_a_model_in_a_file_without_sizes_still_loads():
    pruned = spp.prune(network(OPEN), pruning_ratio=0.5, round_to=1)
    config = find_wrappers(pruned)[0].get_config()
    for key in ("input_sizes", "origin"):
        assert config.pop(key) is None
    wrapper = type(find_wrappers(pruned)[0]).from_config(config)
    assert wrapper.input_sizes is None and wrapper.origin is None


def test_a_pruned_model_inside_another_counts_at_what_that_declares():
    """The sizes are those of the inputs of the model that was pruned."""
    pruned = spp.prune(network(OPEN), target_speedup=2.0, round_to=1, input_shape=FIXED)
    outer = keras.Input((12, 12, 1))
    whole = keras.Model(outer, pruned(L.Conv2D(3, 1)(outer)))
    assert spp.Pruner(whole).progress().macs_speedup == 1.0


def test_metadata_count_at_that_size(tmp_path):
    dense = network(OPEN)
    pruned = spp.prune(dense, target_speedup=2.0, round_to=1, input_shape=FIXED)
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    macs = [spp.analyze(model, input_shape=FIXED).macs for model in (dense, small)]
    report = spp.export_tflite(small, tmp_path / "m.tflite", input_shape=(32, 32, 3))
    assert report.metadata["pruned"]["macs"] == macs
    macs = [spp.analyze(model, input_shape=(32, 32, 3)).macs for model in (dense, small)]
    report = spp.export_tflite(
        small, tmp_path / "m.tflite", input_shape=(32, 32, 3), original=dense
    )
    assert report.metadata["pruned"]["macs"] == macs


def test_a_target_latency_is_met_at_that_size():
    """Layers are timed at the sizes that they have then, under the names that they have then."""
    options = {"target_latency": 0.7, "round_to": 1}
    sizes = {}
    for shape, given in ((OPEN, {"input_shape": (64, 64, 3)}), ((64, 64, 3), {})):
        device = spp.Device(runs=3)
        spp.prune(network(shape), **options, device=device, **given)
        sizes[shape] = {key.rpartition(" ")[0] for key in device._latencies}
    assert sizes[OPEN] == sizes[64, 64, 3] and any("conv2d 64x64 3 to 16" in k for k in sizes[OPEN])


def test_rounding_is_compared_at_that_size():
    device = spp.Device(runs=2)
    options = {"round_to": (1, 8), "device": device}
    found = spp.compare_rounding(network(OPEN), 1.5, **options, input_shape=FIXED)
    fixed = spp.compare_rounding(network(FIXED), 1.5, **options)
    assert [row.macs_speedup for row in found] == [row.macs_speedup for row in fixed]


# -- the command -----------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), prog_name="keras-spp")


def test_the_commands_count_at_the_size_too(tmp_path):
    dense = network(OPEN)
    dense.save(tmp_path / "m.keras")
    result = run("analyze", tmp_path / "m.keras", "--input-shape=24,20,3", "--json")
    assert json.loads(result.stdout) == spp.analyze(network(FIXED)).to_dict()
    pruned = spp.prune(dense, target_speedup=2.0, round_to=1, input_shape=FIXED)
    random_probabilities(pruned, settled=True)
    pruned.save(tmp_path / "p.keras")
    words = run("shrink", tmp_path / "p.keras", tmp_path / "s.keras").stdout.split()
    assert f"{spp.analyze(dense, input_shape=FIXED).macs:,}" in words and "position" not in words
    result = run("analyze", tmp_path / "m.keras", "--input-shape=24,20")
    assert result.exit_code == 1 and "`input_shape` must fit the input" in result.stderr


# -- what is wrong ---------------------------------------------------------------------------------

WRONG = [
    ((24, 20), "must fit the input 'image_0', .* is .24, 20."),
    ((24, 20, 4), "must fit the input"),
    ((1, 24, 20, 3), "must fit the input"),
    ((24, None, 3), "must be sizes of at least 1 .* such as .32, 32, 3.,"),
    ((24, 0, 3), "must be sizes of at least 1"),
    ((24, -1, 3), "must be sizes of at least 1"),
    ((24, 20.5, 3), "must be sizes of at least 1"),
    ("24,20,3", "must be sizes of at least 1"),
    (b"abc", "must be sizes of at least 1"),
    (24, "must be sizes of at least 1"),
    ((), "must be sizes of at least 1"),
    ({"photo": FIXED}, "must name inputs of the model .image_0. but names photo"),
    ({"photo": FIXED, 3: FIXED}, "must name inputs of the model .image_0. but names 3, photo"),
    ((4, 4, 3), "must be sizes that the model takes but is .4, 4, 3., on which it fails"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=str)
def test_sizes_that_do_not_fit_are_one_sentence_everywhere(given, message, tmp_path):
    model = network(OPEN)
    for call in (
        lambda: spp.analyze(model, input_shape=given),
        lambda: spp.prune(model, target_speedup=2.0, input_shape=given, round_to=1),
        lambda: spp.export_tflite(model, tmp_path / "m.tflite", input_shape=given),
    ):
        with pytest.raises(ValueError, match=f"`input_shape` {message}") as error:
            call()
        assert_one_sentence(error, 600)
    assert not list(tmp_path.iterdir())


def test_several_inputs_need_names():
    model = network(OPEN, OPEN)
    with pytest.raises(ValueError, match="must be a dict from input name to sizes") as error:
        spp.prune(model, target_speedup=2.0, input_shape=FIXED)
    assert_one_sentence(error)


@pytest.mark.parametrize("target", [{"target_speedup": 2.0}, {"target_latency": 0.5}])
def test_a_target_without_sizes_is_refused_with_the_remedy(target):
    name = next(iter(target))
    for model, given in (
        (network(OPEN), None), (network(OPEN, OPEN), {"image-0": FIXED})
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"`{name}` counts MACs, .* give input_shape") as error:
            spp.prune(model, **target, input_shape=given)
        assert_one_sentence(error)
