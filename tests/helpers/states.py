"""States of models and optimizers, as lists of (name, value), compared."""

import numpy as np


def assert_same_state(first, second, **tolerance):
    """Bitwise, unless a tolerance for `assert_allclose` is given."""
    assert len(first) == len(second)
    for (name, a), (_, b) in zip(first, second, strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, name)
