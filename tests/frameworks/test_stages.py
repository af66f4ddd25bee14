"""Steps of the work in a wrong order: one sentence that names the right one."""

import warnings

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks.tf_keras.stages import stage
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.training import prune
from tests.zoo.models import L, random_probabilities

X = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")


def net():
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, name="first")(x)))
    return keras.Model(x, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(y)), name="net")


def clustered(model):
    start = tfmot.clustering.keras.CentroidInitialization.LINEAR
    return tfmot.clustering.keras.cluster_weights(
        model, number_of_clusters=4, cluster_centroids_init=start
    )


def partly(model):
    """Only one layer marked, as by `quantize_annotate_layer`."""
    mark = tfmot.quantization.keras.quantize_annotate_layer
    return keras.models.clone_model(
        model, clone_function=lambda x: mark(type(x).from_config(x.get_config()))
        if x.name == "first" else type(x).from_config(x.get_config()),
    )  # fmt: skip


def inside(model):
    return keras.Sequential([keras.Input((8, 8, 3)), model], name="net")


quantize = tfmot.quantization.keras.quantize_model
LATER = "prune and shrink the model first, then give the small one to quantize_model"
WRAPPED = {
    "quantized": (quantize, "wrapped for quantization-aware training", LATER),
    "annotated": (
        tfmot.quantization.keras.quantize_annotate_model,
        "wrapped for quantization-aware training",
        LATER,
    ),
    "annotated in part": (partly, "wrapped for quantization-aware training", LATER),
    "quantized inside of another": (
        lambda model: inside(quantize(model)),
        "wrapped for quantization-aware training",
        LATER,
    ),
    "clustered": (
        clustered,
        "wrapped for clustering",
        "finish it with tfmot.clustering.keras.strip_clustering first",
    ),
    "pruned by tfmot": (
        tfmot.sparsity.keras.prune_low_magnitude,
        "pruned already",
        "finish it with tfmot.sparsity.keras.strip_pruning first",
    ),
}


@pytest.fixture(scope="module", params=WRAPPED)
def wrapped(request):
    make, state, remedy = WRAPPED[request.param]
    return make(net()), state, remedy


CALLS = {
    "prune": lambda model: spp.prune(model, 0.5, round_to=1),
    "prune to a target": lambda model: spp.prune(model, target_speedup=2.0, round_to=1),
    "shrink": spp.shrink,
    "Pruner": spp.Pruner,
    "compare_rounding": lambda model: spp.compare_rounding(model, 2.0),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_tfmot_has_wrapped_is_neither_pruned_nor_shrunk(wrapped, call):
    model, state, remedy = wrapped
    with pytest.raises(ValueError, match=rf"{state}.*layer '.*'\): {remedy}") as error:
        CALLS[call](model)
    assert "`model` " in assert_one_sentence(error)


def test_fit_says_it_too(wrapped):
    model, state, remedy = wrapped
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"{state}.*{remedy}"):
        model.fit(X, np.zeros((8, 4)), verbose=0, callbacks=[spp.SPPCallback()])


def test_what_was_pruned_is_not_pruned_again_nor_its_statistics_taken_when_it_is_quantized():
    with pytest.raises(
        ValueError, match=r"pruned already .*: finish it with spp.shrink or"
    ) as error:
        spp.prune(prune(net()), 0.5)
    assert_one_sentence(error)
    with pytest.raises(
        ValueError, match="re-estimate the statistics before quantize_model"
    ) as error:
        spp.reestimate_batch_norm(quantize(net()), X)
    assert_one_sentence(error)


def test_a_model_that_was_stripped_cannot_be_shrunk():
    stripped = tfmot.sparsity.keras.strip_pruning(prune(net()))
    with pytest.raises(ValueError, match=r"call spp.prune.*, and do not strip it") as error:
        spp.shrink(stripped)
    assert_one_sentence(error)


def test_the_right_order_is_accepted():
    """Shrunk, stripped and unwrapped models are plain ones, and can be pruned again."""
    pruned = prune(net())
    random_probabilities(pruned, settled=True)
    small = spp.shrink(pruned)
    assert stage(small) is None and stage(quantize(small)).quantized
    for plain in (
        small,
        tfmot.sparsity.keras.strip_pruning(pruned),
        tfmot.sparsity.keras.strip_pruning(tfmot.sparsity.keras.prune_low_magnitude(net())),
        tfmot.clustering.keras.strip_clustering(clustered(net())),
    ):
        assert stage(plain) is None
        assert stage(spp.prune(plain, 0.5, round_to=1)).state == "pruned already"
    assert spp.analyze(quantize(small)).params > 0


# -- a pruned model that is exported as it is --


def exported(model, path, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spp.export_tflite(model, path, **options)
    return [str(each.message) for each in caught if "not shrunk" in str(each.message)]


@pytest.mark.parametrize("options", [
    {}, {"quantization": "dynamic"}, {"quantization": "int8", "representative_data": X},
], ids=["float32", "dynamic", "int8"])  # fmt: skip
@pytest.mark.parametrize("granularity", ["channel", "column"])
@pytest.mark.usefixtures("warm_quantizer")
def test_a_pruned_model_that_is_exported_without_shrinking_is_told(tmp_path, options, granularity):
    model = net()
    if granularity == "column":
        model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(8, 3), L.Conv2D(8, 3)])
    pruned = prune(model, granularity=granularity)
    random_probabilities(pruned, settled=True)
    (message,) = exported(pruned, tmp_path / "m.tflite", pack=False, **options)
    assert message.endswith("export what spp.shrink(model) returns.") and "\n" not in message
    assert exported(inside(pruned), tmp_path / "m.tflite", pack=False, **options) == [message]
    for plain in (spp.shrink(pruned), model):
        assert not exported(plain, tmp_path / "m.tflite", pack=False, **options)
