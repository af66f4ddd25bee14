"""The installed Keras: a check of its version, before anything of it is used."""

import importlib.metadata

from packaging.specifiers import SpecifierSet

from keras_spp.version import KERAS_3


def check() -> None:
    """Raises ImportError if Keras is outside of the tested range."""
    version = importlib.metadata.version("keras")
    if not SpecifierSet(KERAS_3).contains(version, prereleases=True):
        raise ImportError(
            f"keras_spp needs keras{KERAS_3} for Keras 3 models but found {version}: run "
            f'`pip install "keras{KERAS_3}"`.'
        )
