"""A Keras 3 model without some of its groups, in two ways that must agree."""

import numpy as np

from keras_spp import frameworks
from keras_spp.core.groups import Groups
from keras_spp.shrinking.cut import shrunk_to
from tests.zoo.keras3_models import inputs_for, outputs

EXACT = 2e-5


def masked_and_small(model, share=0.5, seed=0, granularity="channel"):
    """The model with random groups zeroed, and the small one without them; and what went."""
    framework = frameworks.of(model)
    groups = Groups(framework.label(model), granularity)
    random = np.random.default_rng(seed)
    kept = {}
    for entry in groups.sets:
        kept[entry.name] = np.ones(entry.size, bool)
        gone = random.permutation(entry.size)[: min(int(share * entry.size), entry.size - 1)]
        kept[entry.name][gone] = False
    alive = groups.alive(kept)
    dead = groups.coupling.dead(alive)
    probe = framework.Probe(model, groups)
    probe.zero(kept)
    return probe.model, shrunk_to(model, groups.coupling, dead, alive), groups


def assert_equal(expected, actual, exact=EXACT):
    """Outputs agree, relative to the largest value of each."""
    assert len(expected) == len(actual)
    for first, second in zip(expected, actual, strict=True):
        first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
        assert first.shape == second.shape and np.isfinite(first).all()
        scale = max(float(np.abs(first).max()), 1e-6)
        np.testing.assert_allclose(second / scale, first / scale, rtol=0, atol=exact)


def check_exact(model, share=0.5, seed=0, exact=EXACT, batch=3):
    """The small model gives what the masked one gives; the model itself stays as it was."""
    x = inputs_for(model, batch=batch)
    before = outputs(model, x)
    masked, small, groups = masked_and_small(model, share, seed)
    assert_equal(outputs(masked, x), outputs(small, x), exact)
    np.testing.assert_array_equal(before[0], outputs(model, x)[0])
    return small, groups
