"""Which of the parameters of a test run by default."""

import pytest


def slow_but(values, quick):
    """All values for `parametrize`; those that are not quick are slow."""
    quick = set(quick)
    assert quick <= set(values), f"{quick - set(values)} would never run"
    return [v if v in quick else pytest.param(v, marks=pytest.mark.slow) for v in values]
