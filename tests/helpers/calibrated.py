"""Statistics of batch normalisation with which a deep network keeps its signal."""

import numpy as np
import tensorflow as tf
import tf_keras as keras


def calibrate(model: keras.Model, x: np.ndarray) -> None:
    """Gives every batch normalisation the mean, and four times the deviation, of the batch `x`.

    With arbitrary statistics a deep network's signal fades, or grows until rounding is all that
    is left; in both cases comparing outputs says little. With these it is as in a trained one.
    Four times, because then fewer values change sides at the kinks of the activations, which is
    what amplifies rounding from layer to layer.
    """
    layers = model._flatten_layers()
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return

    def call(norm, inputs):
        axes = [axis for axis in range(inputs.shape.rank) if axis not in norm.axis]
        mean, variance = tf.nn.moments(inputs, axes)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(16 * variance)
        return type(norm).call(norm, inputs, training=False)

    for norm in norms:
        norm.call = lambda inputs, norm=norm, **_: call(norm, inputs)
    model(x, training=False)
    for norm in norms:
        del norm.call
