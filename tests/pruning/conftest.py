from tests.helpers.both_keras import keras  # noqa: F401
