"""Tells the state of one pruned model from that of another: checkpoints hold state alone.

Restoring is lenient in TensorFlow: what fits by its shape is taken. But probabilities mean
something only for the groups, goals and seeds that `spp.prune` has laid down, which are no
variables. So a number that stands for these is one, travels with the state wherever that goes, and
is compared with what it should be.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np

from keras_spp.core.schedule import Schedule
from keras_spp.frameworks.interface import Adapter


def identity(wrappers: list[Any]) -> int:
    """Computes a positive number for what the wrappers' variables mean, below 2**63."""
    plan = [
        [
            [(entry["size"], entry["goal"], entry["seed"]) for entry in wrapper.sets],
            [masked.config() for masked in wrapper.masked],
            [wrapper.conductor, wrapper.target_speedup, wrapper.counted, wrapper.gathers],
        ]
        for wrapper in wrappers
    ]
    digest = hashlib.sha256(json.dumps(plan).encode()).digest()
    return int.from_bytes(digest[:8], "big") // 2 or 1


def of_plan(wrappers: list[Any], schedule: Schedule) -> int:
    """Computes a number for what will be pruned and how, below 2**32."""
    everything = [identity(wrappers), schedule.get_config()]
    text = json.dumps(everything, default=lambda function: function.__name__)  # a score
    return zlib.crc32(text.encode())


def give_identity(framework: Adapter, wrappers: list[Any]) -> None:
    """Writes that number into the model's state, where none is."""
    (variable,) = (wrapper.identity for wrapper in wrappers if wrapper.conductor)
    if not framework.read(variable):
        variable.assign(_in_bits_of(framework.read(variable), identity(wrappers)))


def check_identity(framework: Adapter, wrappers: list[Any]) -> None:
    """Checks that the model's state is its own.

    Raises:
        ValueError: If it was restored from a model that was pruned otherwise.
    """
    (variable,) = (wrapper.identity for wrapper in wrappers if wrapper.conductor)
    value = framework.read(variable)
    if int(value) != _in_bits_of(value, identity(wrappers)):
        raise ValueError(
            "The state that was restored must be of a model pruned alike but is of one with other "
            "groups, goals or seeds: give spp.prune the same model (same names of layers) and the "
            "same arguments as in the run that wrote it."
        )


def _in_bits_of(value: np.ndarray, number: int) -> int:
    """Returns a positive number as far as an integer of a type can hold it."""
    return number & np.iinfo(value.dtype).max or 1
