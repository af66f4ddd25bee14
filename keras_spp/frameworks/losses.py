"""Losses as `compile` takes them, alone or by output: found by name, and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Losses:
    """The losses of one Keras.

    Attributes:
        kinds: Its module `losses`.
        map_structure: Calls a function with each entry of a structure.
    """

    kinds: ModuleType
    map_structure: Callable[..., Any]

    def find(self, loss: Any) -> Any:
        """Returns a structure of losses with functions and objects in the place of names."""
        return self.map_structure(self.kinds.get, loss)

    def describe(self, loss: Any) -> Any:
        """Returns a structure of losses with (name, config) in each's place; functions have None.

        Functions of one name look alike.
        """
        return self.map_structure(self._describe, loss)

    def _describe(self, loss: Any) -> tuple[str, dict | None]:
        """Returns the name of a loss, and its config if it has one."""
        config = loss.get_config() if isinstance(loss, self.kinds.Loss) else None
        return getattr(loss, "name", getattr(loss, "__name__", "")), config
