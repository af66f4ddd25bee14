import collections

import numpy as np
import pytest
import tensorflow as tf

from keras_spp.util.nest import flatten, map_structure

Pair = collections.namedtuple("Pair", "a b")
STRUCTURES = [
    np.ones(3), (1, [2, 3]), {"b": 1, "a": (2, {"c": 3})}, Pair(1, [2]), [], None, "text",
    collections.OrderedDict(z=1, y=2),
]  # fmt: skip


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_structures_are_those_of_tensorflow(structure):
    np.testing.assert_array_equal(flatten(structure), tf.nest.flatten(structure))
    ours = map_structure(lambda x: (x,) * 2, structure)
    theirs = tf.nest.map_structure(lambda x: (x,) * 2, structure)
    assert type(ours) is type(theirs)
    np.testing.assert_equal(ours, theirs)


def test_structures_must_be_alike():
    assert map_structure(lambda a, b: a - b, {"x": [3]}, {"x": [1]}) == {"x": [2]}
    with pytest.raises(ValueError):
        map_structure(lambda a, b: a, {"x": 1}, {"y": 1})
    with pytest.raises(ValueError):
        map_structure(lambda a, b: a, [1, 2], [1])
