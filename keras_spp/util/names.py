"""Names that are valid in TensorFlow's signatures."""

from __future__ import annotations

import re
from collections.abc import Sequence


def valid_names(keys: Sequence[str]) -> list[str]:
    """Returns unique names that are valid in TensorFlow's signatures, one for each key.

    Example:
        >>> valid_names(["a b", "a_b", "1"])
        ['a_b', 'a_b_', 'arg_1']
    """
    names: list[str] = []
    for key in keys:
        name = re.sub(r"[^0-9A-Za-z_]", "_", str(key))
        name = name if name[0].isalpha() else f"arg_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return names
