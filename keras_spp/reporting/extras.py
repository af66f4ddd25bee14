"""The libraries that draw charts and fill in pages, which only reports need."""

from __future__ import annotations

import importlib
from typing import Any


def extra(module: str) -> Any:
    """Imports a module that the extra `report` installs.

    Raises:
        ImportError: If it is not installed, with what to do.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ImportError(
            f"a report needs {package}, which is not installed: run "
            f"`pip install 'keras-spp[report]'`."
        ) from error


def check_installed() -> None:
    """Raises ImportError if pages cannot be made here."""
    for module in ("matplotlib", "jinja2"):
        extra(module)
