"""Data as a function that gives them: what TFLite's converter takes is taken everywhere."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.data import BATCH, batches, chunks
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L, randomize

pytestmark = pytest.mark.usefixtures("warm_quantizer")
SAMPLES = 2 * BATCH + 5


def network(sequential=False, inputs=1):
    x = [keras.Input((8, 8, 3), name=f"image{number}") for number in range(inputs)]
    y = L.Concatenate()(x) if inputs > 1 else x[0]
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3)(y)))
    y = L.GlobalAveragePooling2D()(L.Conv2D(12, 3, activation="relu")(y))
    model = randomize(keras.Model(x if inputs > 1 else x[0], L.Dense(4)(y)))
    if sequential:
        return keras.Sequential([keras.Input((8, 8, 3)), *model.layers[1:]])
    return model


def images(number=0):
    random = np.random.default_rng(number)
    return random.normal(size=(SAMPLES, 8, 8, 3)).astype("float32")


def one_by_one():
    """As TensorFlow's documentation has it: a list of one array of one sample."""
    for image in images():
        yield [image[None]]


class Callable:
    def __call__(self):
        return one_by_one()

    def method(self):
        return one_by_one()


def with_default(count=SAMPLES):
    return ([image[None]] for image in images()[:count])


FUNCTIONS = {
    "generator function": one_by_one,
    "lambda": lambda: one_by_one(),
    "partial": functools.partial(with_default, SAMPLES),
    "default argument": with_default,
    "object": Callable(),
    "method": Callable().method,
    "TFLite's class": tf.lite.RepresentativeDataset(one_by_one),
    "array": images,
    "dataset": lambda: tf.data.Dataset.from_tensor_slices(images()).batch(1),
    "batches": lambda: iter([images()[:BATCH], images()[BATCH:]]),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_function_gives_all_samples_in_batches_and_begins_anew_each_time(kind):
    for _ in range(2):
        found = [np.asarray(tf.nest.flatten(batch)[0]) for batch in batches(FUNCTIONS[kind])]
        assert [len(batch) for batch in found[:1]] == [BATCH]
        np.testing.assert_array_equal(np.concatenate(found), images())


def test_only_single_samples_of_one_shape_are_gathered():
    sizes = [(1, 4), (1, 4), (1, 5), (3, 5), (1, 5), (1, 5), (2, 4), (1, 4)]

    def give():
        for number, size in enumerate(sizes):
            yield np.full(size, number), np.full(size[:1], number)

    found = list(batches(give, targets=None))
    assert [x.shape for x, _ in found] == [(2, 4), (1, 5), (3, 5), (2, 5), (2, 4), (1, 4)]
    for x, y in found:
        np.testing.assert_array_equal(x[:, 0], y)
    assert len(list(batches(give, most=2))) == 2


def test_what_is_no_function_is_taken_as_it_comes():
    assert len(list(batches([[image[None]] for image in images()]))) == SAMPLES


def test_samples_of_a_function_never_end_where_more_are_asked_for():
    assert len(list(chunks(one_by_one, 8, 30, whole=True))) == 30


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(
    "allocation",
    [spp.Search(trials=4, verbose=0), spp.Fisher(passes=4), spp.PCA(),
     spp.Sensitivity(points=2, verbose=0)],
    ids=lambda a: type(a).__name__,
)  # fmt: skip
def test_prune_judges_layers_by_a_function_as_by_the_array(allocation, sequential):
    def goals(data):
        pruned = spp.prune(
            network(sequential), target_speedup=1.5, round_to=1, allocation=allocation,
            representative_data=data,
        )  # fmt: skip
        return [entry["goal"] for wrapper in find_wrappers(pruned) for entry in wrapper.sets]

    assert goals(one_by_one) == goals(images())


def test_sensitivity_takes_targets_from_a_function():
    def labelled():
        for number, image in enumerate(images()):
            yield image[None], np.array([number % 4])

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    allocation = spp.Sensitivity(loss, points=2, verbose=0)
    options = {"target_speedup": 1.5, "round_to": 1, "allocation": allocation}
    assert find_wrappers(spp.prune(network(), representative_data=labelled, **options))


def test_integers_are_calibrated_as_with_the_array(tmp_path):
    model = network()
    files = []
    for number, data in enumerate(
        (one_by_one, images(), tf.lite.RepresentativeDataset(one_by_one))
    ):
        path = tmp_path / f"{number}.tflite"
        spp.export_tflite(model, path, "int8", representative_data=data)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]
    report = spp.parity(model, tmp_path / "0.tflite", one_by_one)
    assert report.samples == SAMPLES
    assert report.to_dict() == spp.parity(model, tmp_path / "0.tflite", images()).to_dict()


def test_several_inputs_come_as_lists_or_dicts(tmp_path):
    model = network(inputs=2)

    def lists():
        for a, b in zip(images(0), images(1), strict=True):
            yield [a[None], b[None]]

    def dicts():
        for a, b in lists():
            yield {"image1": b, "image0": a}

    files = []
    for data in (lists, dicts, [[images(0), images(1)]]):
        spp.export_tflite(model, tmp_path / "m.tflite", "int8", representative_data=data)
        files.append((tmp_path / "m.tflite").read_bytes())
    assert files[0] == files[1] == files[2]
    for data in (lists, dicts):
        pruned = spp.prune(model, 0.5, allocation=spp.PCA(), representative_data=data, round_to=1)
        assert spp.reestimate_batch_norm(pruned, data) is pruned


def test_statistics_are_those_of_batches_not_of_single_samples():
    one, other = network(), network()
    spp.reestimate_batch_norm(one, one_by_one)
    spp.reestimate_batch_norm(other, images())
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, mine.name)


def test_compare_rounding_calls_the_function_for_each_file():
    calls = []

    def count():
        calls.append(1)
        return one_by_one()

    device = spp.Device(runs=2)
    options = {"round_to": (1, 4), "device": device, "quantization": "int8"}
    report = spp.compare_rounding(network(), 1.5, representative_data=count, **options)
    assert len(report) == 2 and len(calls) == 3


class Samples:
    def __init__(self, folder):
        self.folder = folder

    def __iter__(self):
        return one_by_one()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Samples, r"must be data but is the class .*: give Samples\("),
        (Callable, r"must be data but is the class .*: give Callable\("),
        (lambda folder: one_by_one(), r"must be a function without arguments but .* \(missing a"),
        (functools.partial(lambda a, b: None, 1), "must be a function without arguments but"),
        (lambda: None, "must return a .* but returns None"),
        (lambda: "text", "must return a .* but returns 'text'"),
        (lambda: {"a": 1}, "must return a .* but returns {'a': 1}"),
        (lambda: one_by_one, "must return a .* but returns <function"),
    ],
)  # fmt: skip
def test_a_function_that_gives_no_data_is_one_sentence(data, message):
    with pytest.raises(TypeError, match=f"`data` {message}") as error:
        list(batches(data, argument="data"))
    assert_one_sentence(error)


def test_a_model_is_no_function_of_data():
    with pytest.raises(TypeError, match=r"`representative_data` must be a tf.data.Dataset"):
        list(batches(network()))


def test_a_function_that_yields_nothing_is_empty():
    with pytest.raises(ValueError, match="must hold at least one batch but is empty") as error:
        list(batches(lambda: iter(())))
    assert_one_sentence(error)


def test_what_the_function_itself_raises_is_not_disguised():
    def broken():
        raise KeyError("image")

    with pytest.raises(KeyError, match="image"):
        list(batches(broken))
