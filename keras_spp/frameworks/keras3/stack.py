"""The installed Keras: a check of its version, before anything of it is used."""

from keras_spp.frameworks import installed
from keras_spp.version import KERAS_3


def check() -> None:
    """Raises ImportError if Keras is too old, and warns if it is newer than tested."""
    installed.check({"keras": KERAS_3}, " for Keras 3 models")
