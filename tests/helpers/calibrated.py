"""Statistics of batch normalisation with which a deep network keeps its signal."""

from typing import Any

import numpy as np

from keras_spp.core.kinds import is_a


def calibrate(model: Any, x: np.ndarray) -> None:
    """Gives every batch normalisation the mean, and four times the deviation, of the batch `x`.

    With arbitrary statistics a deep network's signal fades, or grows until rounding is all that
    is left; in both cases comparing outputs says little. With these it is as in a trained one.
    Four times, because then fewer values change sides at the kinks of the activations, which is
    what amplifies rounding from layer to layer.
    """
    norms = [layer for layer in model._flatten_layers() if is_a(layer, "BatchNormalization")]
    if not norms:
        return

    def call(norm: Any, inputs: Any) -> Any:
        values = np.asarray(inputs)
        channels = np.ravel(norm.axis) % values.ndim
        axes = tuple(axis for axis in range(values.ndim) if axis not in channels)
        norm.moving_mean.assign(values.mean(axes))
        norm.moving_variance.assign(16 * values.var(axes))
        return type(norm).call(norm, inputs, training=False)

    for norm in norms:  # past what either Keras does when attributes are set
        vars(norm)["call"] = lambda inputs, *_, norm=norm, **__: call(norm, inputs)
    model(x, training=False)
    for norm in norms:
        del vars(norm)["call"]
