"""Every private name of TensorFlow that adapters share, each with its why.

`tests/frameworks/test_private.py` pins them.
"""

from typing import Any

# What an operation promises (state, chance), which TensorFlow tells in no public place.
from tensorflow.python.framework import op_def_registry

__all__ = ["called_graph", "op_def_registry"]


def called_graph(operation: Any) -> Any:
    """Returns the graph of the function that an operation calls."""
    return operation.graph._get_function(operation.get_attr("f").name).graph
