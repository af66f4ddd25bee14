import re

import numpy as np
import pytest

from keras_spp.util.checks import check_integer, check_number


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_numbers_within_the_bounds_pass_whatever_their_type(value):
    check_number("u", value, 0, 1, "a number in [0, 1]")


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, 10**400, np.nan, np.inf, -np.inf, "0.5", None, True, [0.5]]
)
def test_other_values_are_refused_with_name_bounds_and_value(value):
    message = f"`u` must be a number in [0, 1] but is {value!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_number("u", value, 0, 1, "a number in [0, 1]")


@pytest.mark.parametrize("value", [2, 10**30, np.int8(2), np.uint64(3)])
def test_integers_from_the_least_on_pass(value):
    check_integer("runs", value, 2)


@pytest.mark.parametrize("value", [1, -2, 2.0, np.float64(3), "2", None, True])
def test_what_is_no_such_integer_is_refused(value):
    message = f"`runs` must be None or an integer of at least 2 but is {value!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_integer("runs", value, 2, "None or ")
