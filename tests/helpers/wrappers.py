"""The pruning wrappers of a model, of either Keras."""

from keras_spp import frameworks


def find_wrappers(model):
    """The wrappers in the order of their first call."""
    return frameworks.of(model).wrappers(model)
