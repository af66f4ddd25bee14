"""Every private name of TensorFlow that adapters share, each with its why.

`tests/frameworks/test_private.py` pins them.
"""

# What an operation promises (state, chance), which TensorFlow tells in no public place.
from tensorflow.python.framework import op_def_registry

__all__ = ["op_def_registry"]
