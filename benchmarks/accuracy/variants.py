"""What `python -m benchmarks.accuracy` compares, by name: the library's, and variants."""

from __future__ import annotations

import ast
import functools
from typing import Any

import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy.moving import Moving, rank_together
from benchmarks.accuracy.rewrapped import rewrapped
from keras_spp.core.arrays import Array
from keras_spp.core.namespace import namespace_of
from keras_spp.frameworks.tf_keras.masked_weight import MaskedWeight
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from keras_spp.pruning.compensated_search import CompensatedSearch


@keras.saving.register_keras_serializable(package="benchmarks")
class NeverFalls(spp.SPPSchedule):
    """No p falls: a group that recovers its importance does not recover its place."""

    def increment(self, rank: Array, to_prune: Array) -> Array:
        increments = super().increment(rank, to_prune)
        return namespace_of(increments).maximum(increments, 0.0)


@keras.saving.register_keras_serializable(package="benchmarks")
class DrawsColumns(PruneSPP):
    """Every column of a channel draws a mask of its own, with the channel's probability.

    So did the authors' channel-grouped variant. Evaluation and the end stay as they are.
    """

    def factors(self, sampled: bool) -> list[tf.Tensor]:
        keep = super().factors(sampled=False)
        if not sampled:
            return keep
        return [self._drawn(*each) for each in enumerate(zip(self.masked, keep, strict=True))]

    def _drawn(self, number: int, weight: tuple[MaskedWeight, tf.Tensor]) -> tf.Tensor:
        masked, keep = weight
        seed = tf.stack([self.sets[0]["seed"] + number, tf.cast(self.driver.clock(), tf.int32)])
        columns = tf.random.stateless_uniform([*masked.weight.shape[:-1], 1], seed)
        return tf.cast(columns < keep, keep.dtype)


@keras.saving.register_keras_serializable(package="benchmarks")
def at_random(weight: tf.Tensor) -> tf.Tensor:
    """A score that tells nothing: beside it one sees what the order of the groups is worth."""
    numbers = tf.random.stateless_uniform(weight.shape[:-1], [0, weight.shape.num_elements()])
    return numbers[..., None] * tf.ones_like(weight)


SCHEDULES: dict[str, Any] = {
    "one_shot": spp.OneShotSchedule,
    "gradual": spp.GradualSchedule,
    "spp": spp.SPPSchedule,
    "never_falls": NeverFalls,
    "independent": spp.SPPSchedule,
    "moving": Moving,
    "random": functools.partial(spp.OneShotSchedule, score=at_random),
}
ALLOCATIONS: dict[str, Any] = {
    "search": functools.partial(spp.Search, verbose=0),  # no bar among the rows
    "compensated": functools.partial(CompensatedSearch, verbose=0),
    "fisher": spp.Fisher,
    "pca": spp.PCA,
    "sensitivity": functools.partial(spp.Sensitivity, verbose=0),
    "uniform": spp.Uniform,
    "uniform_exact": functools.partial(spp.Uniform, whole_blocks=False),
}
# What is made of a pruned model before it is trained.
PREPARE = {
    "independent": functools.partial(rewrapped, wrapper=DrawsColumns),
    "moving": rank_together,
}
# Search is the library's default; the norm is that of all gradients, as `global_clipnorm`.
# Compensated says with how many samples the network is compensated when its last group is decided.
METHOD_OPTIONS = {"allocation": "search", "distill": 0.0, "clip_norm": None, "compensated": 0}


def read_method(text: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, arguments of the schedule and other options of a method.

    >>> read_method("spp(A=0.1, allocation='pca')")
    ('spp', {'A': 0.1}, {'allocation': 'pca', 'distill': 0.0, 'clip_norm': None, 'compensated': 0})
    """
    call = ast.parse(text, mode="eval").body
    if isinstance(call, ast.Name):
        call = ast.Call(call, [], [])
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError("must be like spp(A=0.1)")
    known = ["dense", *SCHEDULES]
    if call.func.id not in known:
        raise ValueError(f"{call.func.id} is none of {', '.join(known)}")
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    options = {name: given.pop(name, default) for name, default in METHOD_OPTIONS.items()}
    if options["allocation"] not in ALLOCATIONS:
        raise ValueError(f"allocation must be one of {', '.join(ALLOCATIONS)}")
    if call.func.id != "dense":
        SCHEDULES[call.func.id](**given)
    return call.func.id, given, options
