"""Awkward but realistic models: `MODELS` maps each name to the function that builds it."""

from tests.zoo.awkward import (  # noqa: F401  (each registers its models)
    blocks,
    composition,
    configs,
    detection,
    formats,
    functions,
    images,
    sequences,
    user_functions,
    without_rules,
)
from tests.zoo.awkward.registry import MODELS, OWN, UNLOADABLE, randomized, sample

__all__ = ["MODELS", "OWN", "UNLOADABLE", "randomized", "sample"]
