"""What a small model remembers: counted from what `shrink` knows, as an analysis would count it."""

import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.analysis.provenance import describe, origin, pruned_from, summary
from tests.helpers.slow import slow_but
from tests.zoo.models import L, random_model, random_probabilities, randomize


def analyzed(model):
    """MACs and parameters by `spp.analyze`, and the width of every layer that makes channels."""
    analysis = spp.analyze(model)
    widths = {}
    for layer in frameworks.default().layers(model):
        for key in ("filters", "units"):
            if vars(layer).get(key) is not None:
                widths[layer.name] = getattr(layer, key)
    return analysis.macs, analysis.params, widths


@pytest.mark.parametrize("seed", slow_but(range(8), range(3)))
def test_what_is_remembered_is_what_an_analysis_of_the_dense_model_counts(seed):
    model = random_model(seed)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, seed, settled=True)
    small = spp.shrink(pruned)
    macs, params, widths = analyzed(model)
    remembered = origin(small)
    assert remembered == describe(model) == describe(pruned)
    assert remembered["macs"] == macs
    if not any(isinstance(layer, L.Wrapper) for layer in frameworks.default().layers(model)):
        assert remembered["params"] == params
    assert remembered["widths"] == widths and remembered["sizes"] is None
    assert pruned_from(small) == pruned_from(small, model)


def test_shrinking_labels_the_model_once(monkeypatch):
    pruned = spp.prune(random_model(0), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned, settled=True)
    adapter, labelled = frameworks.default(), []
    label = adapter.label
    monkeypatch.setattr(adapter, "label", lambda *a, **o: labelled.append(1) or label(*a, **o))
    assert origin(spp.shrink(pruned))["macs"] and labelled == [1]


def test_macs_count_at_the_sizes_of_pruning():
    x = keras.Input((None, None, 3))
    y = L.GlobalAveragePooling2D()(L.Conv2D(16, 3, name="b")(L.Conv2D(16, 3, name="a")(x)))
    model = randomize(keras.Model(x, L.Dense(4)(y)))
    pruned = spp.prune(model, target_speedup=1.5, round_to=1, input_shape=(9, 11, 3))
    random_probabilities(pruned, settled=True)
    remembered = origin(spp.shrink(pruned))
    assert remembered["sizes"] == [[9, 11, 3]]
    assert remembered["macs"] == spp.analyze(model, input_shape=(9, 11, 3)).macs
    open_sizes = summary(model, frameworks.default().label(model), None)
    assert open_sizes["macs"] is None and open_sizes["params"] == model.count_params()


def test_products_without_a_kernel_count():
    x = keras.Input((6, 8))
    y = L.Attention()([L.Conv1D(8, 1)(x), L.Conv1D(8, 1)(x)])
    model = randomize(keras.Model(x, L.Dense(3)(L.Dense(8)(y))))
    assert describe(model)["macs"] == spp.analyze(model).macs > 3 * 6 * 64 + 6 * 24
