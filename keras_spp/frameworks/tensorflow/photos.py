"""Images of folders and datasets as a model takes them, without labels."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

BATCH = 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in 0..1


def images_in(
    keras: ModuleType, folder: Path, model: Any, pixels: str, samples: int
) -> list[np.ndarray]:
    """Returns batches of the images in a folder and the folders in it, in a random order.

    Args:
        keras: The model's Keras, which finds and reads them.
        folder: The folder.
        model: The model, whose input says size and channels; open sizes are 224.
        pixels: What it takes pixels as, see `scaled`.
        samples: How many images to read, at most.

    Raises:
        ValueError: If there are no images, or the model takes no images.
    """
    height, width, channels = _size(model)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how many it has found
            data = keras.utils.image_dataset_from_directory(
                folder,
                labels=None,
                color_mode={1: "grayscale", 3: "rgb", 4: "rgba"}[channels],
                batch_size=BATCH,
                image_size=(height, width),
                shuffle=True,
                seed=0,
                crop_to_aspect_ratio=True,
            )
    except ValueError as error:
        raise ValueError(f"--data {str(folder)!r} holds no images that can be read.") from error
    return _taken(data, pixels, samples)


def dataset(
    name: str, data_dir: Path | None, split: str, model: Any, pixels: str, samples: int
) -> list[np.ndarray]:
    """Returns batches of the images of a TensorFlow Datasets dataset.

    Args:
        name: Its name, such as "cifar10".
        data_dir: Where it lies, or is put; None for tfds' own place.
        split: Which part of it.
        model: The model, as for `images_in`.
        pixels: As there.
        samples: As there.

    Raises:
        ValueError: If there is no such dataset, or it has no images.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(
            f"--data {name!r} is no file and no folder, and for a dataset of that name "
            f"tensorflow-datasets is not installed: pip install 'keras_spp[datasets]'."
        ) from error
    height, width, channels = _size(model)
    try:
        data = tfds.load(name, split=split, data_dir=data_dir, shuffle_files=False)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise ValueError(
            f"--data {name!r} is no file, no folder and no dataset of tfds with a split {split!r}."
        ) from error
    if "image" not in data.element_spec:
        raise ValueError(f"--data {name!r} has no images: give a .npy or .npz file.")

    def resized(example: dict[str, Any]) -> tf.Tensor:
        image = example["image"]
        if image.shape[-1] == 1 and channels == 3:
            image = tf.image.grayscale_to_rgb(image)
        return resized_whole(image, (height, width))

    return _taken(data.take(samples).map(resized).batch(BATCH), pixels, samples)


def resized_whole(image: Any, size: tuple[int, int]) -> tf.Tensor:
    """Returns an image of a size: the largest part in the middle that has its proportions.

    Args:
        image: Shape (height, width, channels).
        size: Height and width of the result.
    """
    now, wanted = tf.shape(image)[:2], tf.constant(size, tf.float32)
    by_other_side = tf.cast(now[::-1], tf.float32) * wanted / wanted[::-1]
    part = tf.minimum(now, tf.cast(by_other_side, tf.int32))
    start = (now - part) // 2
    image = tf.slice(image, tf.concat([start, [0]], 0), tf.concat([part, [-1]], 0))
    return tf.image.resize(image, size)


def scaled(images: np.ndarray, pixels: str) -> np.ndarray:
    """Returns images from pixels in 0..255.

    Args:
        images: Shape (..., channels).
        pixels: "0..255", "0..1", "-1..1" or "imagenet" (0..1, less ImageNet's mean, over its
            deviation).

    Example:
        >>> scaled(np.array([[0.0], [255.0]]), "-1..1").ravel().tolist()
        [-1.0, 1.0]
    """
    if pixels == "0..255":
        return images
    if pixels == "-1..1":
        return images / 127.5 - 1
    images = images / 255
    return images if pixels == "0..1" else (images - np.array(MEAN)) / np.array(DEVIATION)


def _taken(data: tf.data.Dataset, pixels: str, samples: int) -> list[np.ndarray]:
    batches = [
        scaled(batch.numpy(), pixels).astype(np.float32)
        for batch in data.take(-(-samples // BATCH))
    ]
    if not batches:
        raise ValueError("--data holds no images.")
    return batches


def _size(model: Any) -> tuple[int, int, int]:
    _, height, width, channels = model.inputs[0].shape
    if channels not in (1, 3, 4):
        raise ValueError(
            f"--data gives images but MODEL takes {tuple(model.inputs[0].shape[1:])}, channels "
            f"last of all: give a .npy or .npz file."
        )
    return height or 224, width or 224, channels
