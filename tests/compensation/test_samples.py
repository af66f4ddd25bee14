"""The samples that networks are shown."""

import numpy as np
import pytest
import tf_keras as keras

from keras_spp import frameworks
from keras_spp.compensation.samples import gathered
from keras_spp.frameworks.data import count


@pytest.mark.parametrize("sizes", [[28] * 20, [40] * 20, [1] * 100, [64, 3, 500]])
def test_as_many_samples_are_gathered_as_are_asked_for(sizes):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    random = np.random.default_rng(0)
    batches = [random.normal(size=(size, 3)).astype("float32") for size in sizes]
    found = gathered(frameworks.of(model), model, batches, 100)
    assert count(found) == min(100, sum(sizes))
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(batches)[:100])
    with pytest.raises(ValueError, match="at least 16 samples, better some hundred, but gives 10"):
        gathered(frameworks.of(model), model, batches, 10)
