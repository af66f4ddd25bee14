"""`spp.shrink`: the smaller plain model that computes what the pruned one computes."""

from __future__ import annotations

import warnings

from keras_spp import frameworks
from keras_spp.analysis.provenance import remember, summary
from keras_spp.frameworks.interface import Model
from keras_spp.shrinking.cut import shrunk_to
from keras_spp.training.state import State


def shrink(model: Model) -> Model:
    """Removes what is pruned: every layer gets the size of what survives.

    A channel goes, with its filter, bias, normalisation and depthwise kernel, when every layer
    that reads it has pruned it; then nothing downstream can see it, so the result's outputs
    equal those of `model(x, training=False)`. Keep probabilities of groups that are not decided
    yet are multiplied into the weights, so this holds for an unfinished model too.

    Args:
        model: What `spp.prune` returned, trained; it is not modified.

    Returns:
        A plain model of the same Keras, not compiled, that loads without keras_spp. Columns of
        kernels that are pruned while their channel lives stay as zeros.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not pruned.

    Warns:
        UserWarning: If pruning has not met its target yet.

    Example:
        >>> import tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.Dense(32), keras.layers.Dense(2)])
        >>> pruned = spp.prune(model, pruning_ratio=0.5)
        >>> [type(layer).__name__ for layer in shrink(pruned).layers]
        ['Dense', 'Dense']
    """
    framework = frameworks.of(model)
    state = State(model)
    if missing := state.missing():
        warnings.warn(
            f"shrink: {missing} groups are still to be pruned; the result is exact but larger "
            f"than the target.",
            stacklevel=2,
        )
    small = shrunk_to(model, state.coupling, state.dead())
    conductor = state.conductor
    sizes = framework.sizes_that_fit(model, conductor.input_sizes)
    last = summary(model, state.coupling, sizes)
    remember(small, conductor.origin or last, last)
    return small
