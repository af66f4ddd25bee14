"""Layers to build prunable models by hand."""

from __future__ import annotations

import tf_keras as keras

from keras_spp.frameworks.tf_keras.private import PrunableLayer


@keras.saving.register_keras_serializable(package="keras_spp")
class PrunableConv2D(keras.layers.Conv2D, PrunableLayer):
    """A Conv2D that declares its kernel prunable.

    It computes what Conv2D computes. tfmot's wrappers accept it, `spp.prune` wraps it with
    probabilistic masks whatever class list a policy uses, and `spp.shrink` replaces it with a
    plain Conv2D, so that the small model loads without keras_spp.

    Takes the arguments of `keras.layers.Conv2D`.

    Example:
        >>> import tf_keras as keras
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), PrunableConv2D(16, 3), PrunableConv2D(4, 1),
        ...     keras.layers.GlobalAveragePooling2D()])
        >>> len(model.layers[0].get_prunable_weights())
        1
    """

    def get_prunable_weights(self) -> list:
        """Returns the kernel, (height, width, in, out)."""
        return [self.kernel]


def plain_class(layer: keras.layers.Layer) -> type:
    """Returns the class of Keras' own that replaces a layer's in a shrunk model."""
    return keras.layers.Conv2D if type(layer) is PrunableConv2D else type(layer)
