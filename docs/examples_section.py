"""For the API pages: Google's `Example:` is a section of code, as its `Examples:` is to griffe."""

import re
from typing import Any

import griffe


class ExamplesSection(griffe.Extension):
    """Renames the sections before griffe reads the docstrings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
