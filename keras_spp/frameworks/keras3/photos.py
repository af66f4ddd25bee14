"""Images of folders and datasets as a model takes them, without labels.

TensorFlow reads them whatever the backend is, and is imported for that.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np


def images_in(folder: Path, model: keras.Model, pixels: str, samples: int) -> list[np.ndarray]:
    """Returns batches of the images in a folder, as `tensorflow.photos.images_in` does."""
    from keras_spp.frameworks.tensorflow import photos

    return photos.images_in(keras, folder, model, pixels, samples)


def dataset(
    name: str, data_dir: Path | None, split: str, model: keras.Model, pixels: str, samples: int
) -> list[np.ndarray]:
    """Returns batches of the images of a dataset, as `tensorflow.photos.dataset` does."""
    from keras_spp.frameworks.tensorflow import photos

    return photos.dataset(name, data_dir, split, model, pixels, samples)
