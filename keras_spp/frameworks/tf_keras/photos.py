"""Images of folders as a model takes them, without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tf_keras as keras

from keras_spp.frameworks.tensorflow import photos


def images_in(folder: Path, model: keras.Model, pixels: str, samples: int) -> list[np.ndarray]:
    """Returns batches of the images in a folder, as `tensorflow.photos.images_in` does."""
    return photos.images_in(keras, folder, model, pixels, samples)
