"""The command `keras-spp`: the functions of the package, on saved files.

Commands import what only they need, so that those that load no model start at once, without
TensorFlow.
"""

from keras_spp.cli import commands, compress, reports  # noqa: F401  (they add themselves to the group)
from keras_spp.cli.common import main

__all__ = ["main"]
