"""Whether the installed versions of libraries are those that an adapter was tested with."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet


def check(needed: Mapping[str, str], purpose: str = "") -> None:
    """Raises ImportError for what is missing or too old, and warns of what is newer than tested.

    Private parts of the libraries are relied on. They may have moved in a version that nobody has
    tried, but mostly they have not, so that one is not refused.

    Args:
        needed: The tested range of each distribution, such as ">=2.18,<2.22".
        purpose: What they are for, if not for everything.

    Raises:
        ImportError: If one is not installed, or older than its range.
    """
    wrong, untested = [], []
    for name, bounds in needed.items():
        found = version(name)
        oldest = bounds.partition(",")[0]
        if found is None:
            wrong.append((name, bounds, "which is not installed"))
        elif not SpecifierSet(oldest).contains(found, prereleases=True):
            wrong.append((name, bounds, f"but found {found}"))
        elif not SpecifierSet(bounds).contains(found, prereleases=True):
            untested.append((name, bounds, f"but found {found}, which is newer"))
    if wrong:
        raise ImportError(f"keras_spp needs {_listed(wrong, purpose)}: {_fix(wrong)}.")
    if untested:
        warnings.warn(
            f"keras_spp was tested with {_listed(untested, purpose)}: if something fails, "
            f"{_fix(untested)}.",
            stacklevel=2,
        )


def version(name: str) -> str | None:
    """Returns the version of a distribution, or of another with its module (tensorflow-cpu)."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        module = name.replace("-", "_")
        for provider in importlib.metadata.packages_distributions().get(module, []):
            return importlib.metadata.version(provider)
    return None


def _listed(misfits: list[tuple[str, str, str]], purpose: str) -> str:
    return " and ".join(f"{name}{bounds}{purpose} {problem}" for name, bounds, problem in misfits)


def _fix(misfits: list[tuple[str, str, str]]) -> str:
    packages = " ".join(f'"{name}{bounds}"' for name, bounds, _ in misfits)
    return f"run `pip install {packages}`"
