import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from examples import demo, recipe
from tests.helpers.slow import slow_but
from tests.zoo.models import L, random_probabilities, randomize

ROOT = Path(__file__).parents[2]
NAMES = (
    "alexnet_imagenet",
    "vgg16_imagenet",
    "resnet50_imagenet",
    "alexnet_flowers102",
    "resnet56_cifar10",
    "convnet_cifar10",
    "mobilenetv2_folder",
    "efficientnetb0_folder",
)
RECIPES = {name: importlib.import_module(f"examples.{name}").RECIPE for name in NAMES}
CLASSES = {"imagenet2012": 1000, "oxford_flowers102": 102, "cifar10": 10, "folder": 3}
# Sizes at which the networks just work, statistics of a few steps included; CIFAR's have their own.
SMALLER = {"alexnet": 67, "vgg16": 32, "resnet50": 32, "mobilenetv2": 32, "efficientnetb0": 64}


def required(chosen):
    """Arguments without which a recipe does not start."""
    arguments = ["--data-dir", "DIR"]
    return [*arguments, "--model", "FILE"] if chosen.needs_model else arguments


def nonzero_macs(model, counted):
    """Of the convolutions, or of dense layers too, counted from their weights."""
    count, kinds = 0, L.Conv2D if counted == "convolutions" else L.Conv2D | L.Dense
    for layer in model.layers:
        if isinstance(layer, kinds):
            positions = int(np.prod(layer.output_shape[1:-1]))
            count += positions * np.count_nonzero(layer.kernel)
    return count


# -- at full size --------------------------------------------------------------------------------


@pytest.mark.parametrize("speedup", [4, 6])
def test_the_convnet_gets_as_much_cheaper_as_the_paper_asks_for(speedup):
    check_speedup("convnet_cifar10", speedup)


FULL = {"convnet_cifar10", "mobilenetv2_folder"}  # of their size in the default run


@pytest.mark.parametrize("name", slow_but(NAMES, FULL))
def test_the_full_network_gets_as_much_cheaper_as_the_recipe_says(name):
    check_speedup(name, RECIPES[name].speedup)


def check_speedup(name, speedup):
    chosen = RECIPES[name]
    args = recipe.parse(chosen, [*required(chosen), "--speedup", str(speedup)])
    dense = chosen.network(args.image_size, CLASSES[chosen.dataset])
    pruned = recipe.prune(dense, args)
    pruner = random_probabilities(pruned, settled=True)
    assert speedup <= pruner.progress().macs_speedup <= 1.1 * speedup
    small = spp.shrink(pruned)
    if args.granularity == "channel":
        assert speedup <= spp.analyze(dense).macs / spp.analyze(small).macs <= 1.1 * speedup
    else:
        before, after = (nonzero_macs(model, args.counted) for model in (dense, small))
        assert speedup <= before / after <= 1.1 * speedup


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("alexnet_imagenet", 724e6, 61.0e6),
        ("resnet56_cifar10", 125e6, 0.85e6),
        ("convnet_cifar10", 12.4e6, 0.145e6),
    ],
)
def test_the_networks_are_the_published_ones(name, macs, params):
    network = RECIPES[name].network
    analysis = spp.analyze(network(RECIPES[name].image_size, CLASSES[RECIPES[name].dataset]))
    assert analysis.macs == pytest.approx(macs, rel=0.01)
    assert analysis.params == pytest.approx(params, rel=0.01)


# -- from the command line to the files ----------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Finds its plan in a few trials and prunes within a few steps."""

    schedule, prune = spp.SPPSchedule(A=1.0, frequency=1), spp.prune

    def quickly(model, representative_data, **options):
        options |= {"schedule": schedule, "representative_data": representative_data}
        if representative_data is not None:
            options["allocation"] = spp.Search(trials=4)
        return prune(model, **options)

    monkeypatch.setattr(recipe.spp, "prune", quickly)


@pytest.fixture
def distilled(monkeypatch):
    """The weights with which models followed the dense network."""
    weights, distill = [], spp.distill

    def follow(model, teacher, weight):
        weights.append(weight)
        return distill(model, teacher, weight=weight)

    monkeypatch.setattr(recipe.spp, "distill", follow)
    return weights


@pytest.fixture
def mocked():
    """Random images in the place of each dataset of TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=6):
        yield


def write_images(folder, labels=("ant", "bee", "cow"), splits=("train", "test"), count=3):
    random = np.random.default_rng(0)
    for split in splits:
        for label in labels:
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (40, 48, 3), np.uint8)
                encode = tf.io.encode_png if number else tf.io.encode_jpeg
                path = folder / split / label / f"{number}.{'png' if number else 'jpg'}"
                path.write_bytes(encode(pixels).numpy())
    return str(folder)


def run(chosen, output, *arguments):
    """Runs a recipe with few steps; returns the results it wrote."""
    few = ["--epochs", 1, "--dense-epochs", 1, "--steps-per-epoch", 8, "--batch-size", 2]
    slow = ["--learning-rate", 1e-4, "--dense-learning-rate", 1e-4]  # on noise more may diverge
    recipe.main(chosen, list(map(str, [*few, *slow, "--output", output, *arguments])))
    return json.loads((output / "results.json").read_text())


@pytest.mark.filterwarnings("ignore:SPP will not reach", "ignore:SPP has not met")
@pytest.mark.parametrize("name", slow_but(NAMES, ["convnet_cifar10"]))
def test_a_recipe_leaves_a_small_model_files_and_a_table(name, tmp_path, quick, mocked, capsys):
    chosen, output = RECIPES[name], tmp_path / "new" / "folder"
    network = chosen.network.__name__
    size = SMALLER.get(network, chosen.image_size)
    # At such a size the layers that stay weigh more: not all of the speedup is in reach.
    arguments = ["--data-dir", tmp_path, "--image-size", size, "--speedup", 1.5]
    if chosen.has_weights:
        arguments += ["--weights", "none"]
    if chosen.needs_model:
        chosen.network(size, 20).save(tmp_path / "dense.keras")
        arguments += ["--model", tmp_path / "dense.keras"]
    if chosen.dataset == "folder":
        arguments[1] = write_images(tmp_path / "images")
    results = run(chosen, output, *arguments)

    dense, small = results["dense"], results["small"]
    assert results["macs_speedup"] >= 1.5
    if chosen.granularity == "channel":
        assert dense["macs"] / small["macs"] == pytest.approx(results["macs_speedup"])
    model = keras.models.load_model(output / "small.keras", compile=False)
    assert model.output_shape[-1] == CLASSES[chosen.dataset]
    assert model.count_params() == small["params"] <= dense["params"]
    assert keras.models.load_model(output / "dense.keras").count_params() == dense["params"]
    for side in ("dense", "small"):
        assert (output / f"{side}.tflite").stat().st_size == results[side]["tflite_bytes"]
        assert 0 <= results[side]["top1"] <= results[side]["top5"] <= 1
    assert results["largest_relative_difference"] < 1e-4
    assert list((output / "logs").iterdir())
    printed = capsys.readouterr().out
    assert f"{dense['macs']:,}" in printed and f"{small['macs']:,}" in printed
    assert ("Without pruned columns" in printed) == (chosen.granularity == "column")


@pytest.mark.filterwarnings("ignore:SPP will not reach", "ignore:SPP has not met")
def test_images_come_from_a_folder(tmp_path, quick, distilled):
    chosen = RECIPES["mobilenetv2_folder"]
    chosen = dataclasses.replace(chosen, network=RECIPES["convnet_cifar10"].network)
    folder = write_images(tmp_path / "images", splits=("train", "val"))
    arguments = ["--data-dir", folder, "--test-split", "val", "--image-size", 24]
    results = run(chosen, tmp_path / "out", *arguments, "--distill", 0)
    assert not distilled
    assert results["dense"]["macs"] >= 2 * results["small"]["macs"]
    assert results["dense"]["top1"] * 9 == pytest.approx(round(results["dense"]["top1"] * 9))
    model = keras.models.load_model(tmp_path / "out" / "small.keras", compile=False)
    assert model.input_shape == (None, 24, 24, 3) and model.output_shape == (None, 3)


@pytest.mark.filterwarnings("ignore:SPP will not reach", "ignore:SPP has not met")
def test_a_trained_model_is_not_trained_again_and_teaches(tmp_path, quick, mocked, distilled):
    chosen = RECIPES["convnet_cifar10"]
    trained = randomize(chosen.network(32, 10))
    trained.save(tmp_path / "trained.keras")
    results = run(chosen, tmp_path / "out", "--model", tmp_path / "trained.keras")
    assert not (tmp_path / "out" / "dense.keras").exists()
    assert results["arguments"]["model"] == str(tmp_path / "trained.keras")
    assert distilled == [1.0]


def test_a_new_head_keeps_the_rest_of_the_network():
    model = randomize(RECIPES["alexnet_imagenet"].network(67, 7))
    transferred = recipe.with_head(model, 5)
    assert transferred.output_shape == (None, 5)
    for old, new in zip(model.layers[:-1], transferred.layers[:-1], strict=True):
        assert old is new
    assert transferred.layers[-1].name == "fc8"


@pytest.mark.parametrize("end", [L.GlobalAveragePooling2D, L.Flatten])
def test_features_get_a_head_even_if_they_are_as_many_as_the_classes(end, tmp_path):
    body = randomize(keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(5, 8), end()]))
    body.save(tmp_path / "body.keras")
    chosen = RECIPES["mobilenetv2_folder"]
    arguments = ["--data-dir", "DIR", "--model", str(tmp_path / "body.keras")]
    model, trained = recipe.open_model(chosen, recipe.parse(chosen, arguments), 5)
    assert model.output_shape == (None, 5) and not trained
    assert type(model.layers[-1]) is L.Dense
    x = np.ones((2, 8, 8, 3), "float32")
    headless = keras.Model(model.input, model.layers[-1].input)
    np.testing.assert_array_equal(headless(x), body(x))


@pytest.mark.parametrize(
    "name",
    ["vgg16_imagenet", "resnet50_imagenet", "mobilenetv2_folder", "efficientnetb0_folder"],
)
def test_trained_weights_come_with_a_head_for_imagenet(name):
    chosen = RECIPES[name]
    asked = []

    def network(image_size, classes, weights=None):
        asked.append((image_size, classes, weights))
        return keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(classes)])

    chosen = dataclasses.replace(chosen, network=network)
    args = recipe.parse(chosen, ["--data-dir", "DIR"])
    model, trained = recipe.open_model(chosen, args, 3)
    assert asked == [(224, 1000, "imagenet")]
    assert model.output_shape[-1] == 3 and not trained
    assert recipe.open_model(chosen, args, 1000)[1]


@pytest.mark.parametrize("name", ["vgg16_imagenet", "mobilenetv2_folder"])
def test_images_are_prepared_as_the_trained_weights_want_them(name):
    pixels = tf.constant([[[[255.0, 0.0, 127.5]]]])
    mean = np.array([103.939, 116.779, 123.68])
    expected = {
        "vgg16_imagenet": np.array([127.5, 0, 255]) - mean,
        "mobilenetv2_folder": [1, -1, 0],
    }[name]
    normalized = RECIPES[name].normalize(pixels)
    np.testing.assert_allclose(np.ravel(normalized), expected, atol=1e-3)


def test_weight_decay_is_that_of_the_literature():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    weights = [np.ones((4, 3)), np.ones(3)]
    model.set_weights(weights)
    # Zeros as inputs, all classes alike: no gradient. A decay in it would, summed by the momentum
    # of 0.9, come to 10 times as much.
    batches = tf.data.Dataset.from_tensor_slices((np.zeros((3, 4)), [0, 1, 2])).batch(3)
    data = demo.Data(batches.repeat(), batches, steps=1, epochs=1)
    demo.train(model, data, 0.1, weight_decay=0.01)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.01 * 10, atol=1e-6)
    np.testing.assert_allclose(bias, 1, atol=1e-6)


# -- what is said about them ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_command_in_the_docstring_and_on_the_page_is_understood(name):
    page = (ROOT / "docs" / "how-to" / "recipes.md").read_text()
    for text in (RECIPES[name].description, page):
        (command,) = set(re.findall(rf"python -m examples\.{name} (.*?)[`\n]", text))
        args = recipe.parse(RECIPES[name], command.replace("[", "").replace("]", "").split())
        assert args.data_dir == "DIR"


def test_a_recipe_is_a_command():
    command = [sys.executable, "-m", "examples.convnet_cifar10", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "A small network of three convolutions on CIFAR-10" in done.stdout


# -- bad input -----------------------------------------------------------------------------------


def refused(name, *arguments):
    with pytest.raises(SystemExit) as caught:
        recipe.main(RECIPES[name], list(map(str, arguments)))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path):
    for path, said in (
        (tmp_path / "missing", "must be a folder of images but is"),
        (tmp_path, "holds no images named <split>/<label>/<name>.jpg"),
    ):
        message = refused("mobilenetv2_folder", "--data-dir", path)
        assert said in message and str(path) in message


def test_images_of_one_label_are_refused(tmp_path):
    folder = write_images(tmp_path, labels=["ant"])
    message = refused("mobilenetv2_folder", "--data-dir", folder)
    assert message == f"The images in {folder!r} must have at least 2 labels."


def test_a_split_that_is_missing_is_refused(tmp_path):
    folder = write_images(tmp_path, splits=["train"])
    message = refused("mobilenetv2_folder", "--data-dir", folder, "--weights", "none")
    assert "Unrecognized split test" in message


def test_a_dataset_that_has_to_be_fetched_by_hand_is_refused(tmp_path):
    message = refused("vgg16_imagenet", "--data-dir", tmp_path)
    assert f"'imagenet2012' is not prepared in --data-dir {str(tmp_path)!r}" in message


def test_a_speedup_out_of_reach_is_refused_before_any_training(mocked, tmp_path):
    output = tmp_path / "output"
    arguments = ["--data-dir", tmp_path, "--output", output]
    message = refused("convnet_cifar10", *arguments, "--speedup", 1000)
    assert "`target_speedup` is 1000 but the largest that this model can reach" in message
    message = refused("alexnet_imagenet", *arguments, "--granularity", "channel")
    assert "granularity='channel' is 2:" in message
    assert not output.exists()


def test_a_model_that_is_missing_or_of_no_fixed_size_is_refused(mocked, tmp_path):
    path = tmp_path / "model.keras"
    assert str(path) in refused("convnet_cifar10", "--data-dir", tmp_path, "--model", path)
    x = keras.Input((None, None, 3))
    y = L.GlobalAveragePooling2D()(L.Conv2D(16, 3)(L.Conv2D(32, 3)(x)))
    keras.Model(x, L.Dense(10)(y)).save(path)
    message = refused("convnet_cifar10", "--data-dir", tmp_path, "--model", path)
    assert "input size is not fixed" in message


def test_only_a_dense_head_can_make_room_for_other_classes():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Softmax(name="probabilities")])
    with pytest.raises(ValueError, match=r"not 'probabilities' \(Softmax\)"):
        recipe.with_head(model, 5)


def test_the_flowers_need_a_trained_model(capsys):
    with pytest.raises(SystemExit):
        recipe.main(RECIPES["alexnet_flowers102"], ["--data-dir", "DIR"])
    assert "--model" in capsys.readouterr().err
