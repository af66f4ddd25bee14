"""What every refusal of `benchmark` is: one sentence."""

import pytest

from keras_spp.devices.benchmark import benchmark


def assert_one_sentence(error, limit=400):
    message = str(error.value)
    assert message.endswith(".") and "\n" not in message and len(message) < limit
    return message


def assert_nothing_but_one_sentence(message):
    """Stricter: no full stop but the last is followed by a space."""
    assert message.endswith(".")
    assert "\n" not in message and ". " not in message


def refused(kind, match, *arguments, **options):
    """Checks that a benchmark fails with one sentence, and returns it."""
    with pytest.raises(kind, match=match) as error:
        benchmark(*arguments, **options)
    return assert_one_sentence(error, 600)
