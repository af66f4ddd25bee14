import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L, randomize


def redundant(components, name, shape=(3, 3, 16, 16)):
    """A kernel whose filters are mixtures of a few."""
    random = np.random.default_rng(len(name))
    few = random.normal(size=(*shape[:3], components))
    return few @ random.normal(size=(components, shape[-1])) / 10


def net(first=2, second=12):
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(16, 3, padding="same", name="stem")(x)
    y = L.Conv2D(16, 3, padding="same", name="first")(y)
    y = L.Conv2D(16, 3, padding="same", name="second")(y)
    model = randomize(keras.Model(x, L.Conv2D(4, 1, name="last")(y)))
    for name, components in (("first", first), ("second", second)):
        model.get_layer(name).kernel.assign(redundant(components, name))
    return model


def images():
    return np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")


def goals(pruned):
    sets = spp.Pruner(pruned).sets
    return dict(zip(spp.Pruner(pruned).names, sets.goal.tolist(), strict=True))


@pytest.mark.parametrize("granularity", ["channel", "column"])
def test_redundant_layers_are_pruned_more_and_the_target_is_met(granularity):
    pruned = spp.prune(
        net(),
        target_speedup=1.7,
        allocation=spp.PCA(),
        representative_data=images(),
        round_to=1,
        granularity=granularity,
    )
    found = goals(pruned)
    assert found["first"] > 1.5 * found["second"]
    if granularity == "channel":
        assert found["first"] <= 14  # two components are needed to keep any energy
        uniform = goals(spp.prune(net(), target_speedup=1.7, round_to=1))
        assert abs(uniform["first"] - uniform["second"]) <= 1


def test_the_energy_is_that_of_the_eigenvalues():
    pca = spp.PCA(batches=1)
    data = images()
    spp.prune(net(), pruning_ratio=0.5, allocation=pca, representative_data=[(data, 0)], round_to=1)
    model = net()
    features = keras.Model(model.input, model.get_layer("stem").output)(data).numpy()
    values = np.linalg.eigvalsh(np.cov(features.reshape(-1, 16).T))[::-1]
    expected = np.cumsum(values) / values.sum()
    needed = np.searchsorted(expected, 0.6) + 1
    (entry,) = [e for e in pca._energy if e == "stem"]
    assert np.searchsorted(pca._energy[entry], 0.6) + 1 == needed
    np.testing.assert_allclose(pca._energy[entry], expected, rtol=1e-3)


def test_data_are_needed():
    with pytest.raises(TypeError, match=r"`representative_data` must be a tf\.data\.Dataset"):
        spp.prune(net(), target_speedup=1.5, allocation=spp.PCA())
    with pytest.raises(ValueError, match="`batches` must be an integer of at least 1 but is 0"):
        spp.PCA(batches=0)
