"""The generator of the masks."""

import numpy as np

from keras_spp.core import philox


def test_it_is_the_published_generator():
    # Known answers of the authors' Random123: counter 0 and key 0, and all bits set.
    for value, answer in (
        (0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (philox.LOW, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ):
        mixed = philox._mix(np.full((1, 4), value, np.uint64), value, value)[0]
        assert [f"{number:08x}" for number in mixed.tolist()] == answer.split()


def test_more_bits_begin_with_the_same_ones():
    few, many = philox.bits(5, 7, 10**10), philox.bits(4001, 7, 10**10)
    assert few.tolist() == many[:5].tolist() and few.dtype == np.uint32
    assert len(set(many.tolist())) == 4001
