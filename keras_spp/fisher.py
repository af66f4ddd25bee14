"""Allocation by Fisher information: what the outputs say when a group is changed a little."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_spp.checks import check_integer
from keras_spp.data import batches
from keras_spp.groups import Groups
from keras_spp.masked import copies
from keras_spp.stepwise import Stepwise, copied, importance

POINTS = 16  # at which the price of pruning a set is looked at


class Fisher(Stepwise):
    """Prunes where a MAC saved changes the outputs least, to first order.

    For every group the squared derivative of the outputs by the group's weights, all scaled
    together, is estimated: what the outputs would change by if the group went, taken linearly and
    relative to the outputs' variance. No targets are needed. `spp.prune` then takes, step by step
    over all sets, the least important groups by L1 norm first, what saves most MACs for the change
    that it adds up to, which counts the more the less of a set is left. One backward pass gives one
    random projection of the derivatives; the error of the estimates falls with the square root of
    their number.

    Source: Fisher pruning weighs such derivatives of the loss against computational cost (Theis,
    Korshunova, Tejani, Huszar, "Faster gaze prediction with dense networks and Fisher pruning",
    2018, sections 2.1 and 2.2). Here the outputs take the place of the loss, and all groups of a
    set are judged before training.

    Args:
        passes: Backward passes, at least 1.
        samples: Samples in each pass, at least 1 (a batch size that the model fixes goes first);
            they are taken from `representative_data` in turn, and again from its beginning when
            it ends.
        seed: Decides the projections.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Conv2D(16, 3),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(model, target_speedup=2, allocation=Fisher(),
        ...                    representative_data=images, round_to=1)
    """

    def __init__(self, passes: int = 64, samples: int = 8, seed: int = 0) -> None:
        super().__init__()
        check_integer("passes", passes, 1)
        check_integer("samples", samples, 1)
        check_integer("seed", seed, 0)
        self.passes, self.samples, self.seed = int(passes), int(samples), int(seed)

    def prepare(self, model: keras.Model, groups: Groups, representative_data: Any) -> None:
        """Estimates what each group does to the outputs, and sorts the sets' steps."""
        squares = self._squares(model, groups, representative_data)
        order, rises = importance(groups), {}
        for entry in groups.sets:
            gone = squares[entry.name][order[entry.name].argsort(kind="stable")].cumsum()
            count = min(POINTS, entry.size)
            ends = np.round(np.arange(1, count + 1) / count * entry.size).astype(int)
            rises[entry.name] = gone[ends - 1]
        self.sort(groups, rises)

    def _squares(
        self, model: keras.Model, groups: Groups, representative_data: Any
    ) -> dict[str, np.ndarray]:
        """For each set the mean squares of its groups' derivatives, shape (size,)."""
        total = {entry.name: np.zeros(entry.size) for entry in groups.sets}
        copy, masked_of = copied(model, groups)
        masked = [[masked_of[id(each.weight)] for each in r.weights] for r in groups.readers]
        # Under a distribution strategy the copy that is called here; outside of a replica there
        # is no derivative by all of them.
        weights = [copies(each.weight)[0] for layer in masked for each in layer]

        @tf.function(reduce_retracing=True)
        def derivatives(inputs: Any, seed: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                outputs = copy(inputs, training=False)
                value = _projected(outputs, seed)
            gradients = iter(tape.gradient(value, weights, unconnected_gradients="zero"))
            return [
                tf.add_n([each.derivative(each.weight, next(gradients)) for each in layer])
                for layer in masked
            ]

        fixed = model.inputs[0].shape[0]
        chunks = _chunks(representative_data, fixed or self.samples, self.passes, bool(fixed))
        for number, inputs in enumerate(chunks):
            copy.reset_states()
            try:
                by_reader = derivatives(inputs, tf.constant([self.seed, number], tf.int64))
            except (ValueError, tf.errors.InvalidArgumentError) as error:
                raise ValueError(
                    f"`representative_data` must hold what the model takes, {self.samples} samples "
                    f"at a time, but it fails on that ({_cause(error)}): give other data, or "
                    f"allocation=spp.Fisher(samples=...)."
                ) from error
            once = {entry.name: np.zeros(entry.size) for entry in groups.sets}
            for reader, found in zip(groups.readers, by_reader, strict=True):
                for entry, part in reader.split(found.numpy()):
                    once[entry.name] += part
            for name, found in once.items():
                total[name] += found**2 / self.passes
        everything = np.concatenate(list(total.values()))
        if not np.isfinite(everything).all() or not everything.any():
            what = "no derivative" if np.isfinite(everything).all() else "NaN or infinity"
            raise ValueError(
                f"`representative_data` gives {what} of the outputs by the weights, so "
                f"spp.Fisher cannot say what matters: give finite data, or another allocation."
            )
        return total


def _projected(outputs: Any, seed: tf.Tensor) -> tf.Tensor:
    """A random sum of all outputs whose square is, on average, their mean square.

    Each output is taken relative to its standard deviation. The factors are independent, so that
    products of different outputs, and of different samples, cancel in the mean.
    """
    total = tf.zeros([])
    for number, output in enumerate(tf.nest.flatten(outputs)):
        if output.dtype.is_floating:
            output = tf.cast(output, tf.float32)
            factors = tf.random.stateless_normal(
                tf.shape(output), seed + tf.constant([number, 0], tf.int64)
            )
            deviation = tf.stop_gradient(tf.math.reduce_std(output))
            values = tf.math.divide_no_nan(output * factors, deviation)
            total += tf.reduce_sum(values) / tf.sqrt(tf.cast(tf.size(values), tf.float32))
    return total


def _cause(error: Exception) -> str:
    """The last line of what a layer says: Keras puts where it happened before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = (line for line in reversed(lines) if "Error: " in line)
    return next(said, lines[-1] if lines else type(error).__name__)[:200]


def _chunks(data: Any, size: int, count: int, whole: bool) -> Iterator[Any]:
    """So many samples at a time, from the beginning again when the data end.

    With `whole` only chunks of the full size.
    """
    if isinstance(data, Iterator):  # it begins only once
        data = list(itertools.islice(data, count))
    while count:
        before = count
        for batch in batches(data):
            samples = len(tf.nest.flatten(batch)[0])
            for start in range(0, samples - size + 1 if whole else samples, size)[:count]:
                yield tf.nest.map_structure(operator.itemgetter(slice(start, start + size)), batch)
                count -= 1
            if not count:
                return
        if count == before:
            raise ValueError(
                f"`representative_data` must hold batches of at least {size if whole else 1} "
                f"samples, as the model takes them, but holds none."
            )
