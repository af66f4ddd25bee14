"""Image classification data for the recipes: TensorFlow Datasets or a folder, as batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # KerasCV makes layers of tf_keras then

import numpy as np
import tensorflow as tf

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHIFT = 4  # pixels by which small images are moved at most
CENTER = 0.875  # share of a large test image's shorter side that is shown: 224 of 256 pixels
SHUFFLED_BYTES = 2**29
CACHED_BYTES = 2**30
AUGMENTATIONS = ("flip", "randaugment")


def find(name: str, data_dir: str | None = None) -> Any:
    """A tfds builder: of the dataset `name`, or of a folder with <split>/<label>/<image>."""
    import tensorflow_datasets as tfds

    if name == "folder":
        if data_dir is None or not Path(data_dir).is_dir():
            raise ValueError(f"`data_dir` must be a folder of images but is {data_dir!r}.")
        builder = tfds.ImageFolder(data_dir)
        if not builder.info.splits:
            raise ValueError(f"{data_dir!r} holds no images named <split>/<label>/<name>.jpg.")
        return builder
    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()  # returns at once if the data is there
    return builder


def standardize(images: tf.Tensor) -> tf.Tensor:
    """(pixel / 255 - mean) / std with the constants of ImageNet."""
    return (images / 255 - IMAGENET_MEAN) / IMAGENET_STD


# What models take, from float32 pixels in [0, 255].
NORMALIZATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "imagenet": standardize,
    "unit": lambda images: images / 255,
    "signed": lambda images: images / 127.5 - 1,
    "pixels": lambda images: images,
}


def batches(
    builder: Any,
    split: str,
    input_shape: tuple[int, int, int],
    batch_size: int,
    *,
    augmentation: str | None = None,
    normalize: Callable[[tf.Tensor], tf.Tensor] = standardize,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches (images, labels) as a model takes them.

    Args:
        builder: What `find` returns.
        split: A split as tfds writes it: "train", "train[:90%]", "test".
        input_shape: Height, width and channels of the model's input.
        batch_size: Images in a batch.
        augmentation: For training: shuffled and endless batches of images moved or cropped at
            random and "flip"ped or not, or before that altered by KerasCV's "randaugment". None
            for testing: every image once, in order.
        normalize: From float32 pixels in [0, 255] to the model's input.
        seed: Decides the order, and all of "flip".
    """
    data = builder.as_dataset(split=split, as_supervised=True)
    if not len(data):
        raise ValueError(f"The split {split!r} of {builder.name!r} holds no image.")
    training, image_bytes = augmentation is not None, int(np.prod(input_shape))
    small = tuple(builder.info.features["image"].shape[:2]) == tuple(input_shape[:2])
    if small and len(data) * image_bytes < CACHED_BYTES:
        data = in_memory(data)
    if training:
        data = data.shuffle(min(len(data), SHUFFLED_BYTES // image_bytes), seed).repeat()
    if not small:
        part = random_part if training else center
        data = seeded(data, seed, lambda image, key: part(image, key, input_shape[:2]))
    data = data.batch(batch_size, drop_remainder=training)
    data = data.map(lambda x, y: (channels(tf.cast(x, tf.float32), input_shape), y))
    if augmentation == "randaugment":
        data = data.map(randaugment(seed))
    if training:
        data = seeded(data, seed + 1, lambda images, key: move(images, key, SHIFT if small else 0))
    return data.map(lambda x, y: (normalize(x), y), tf.data.AUTOTUNE).prefetch(2)


def some(
    builder: Any,
    split: str,
    input_shape: tuple[int, int, int],
    samples: int,
    *,
    normalize: Callable[[tf.Tensor], tf.Tensor] = standardize,
) -> np.ndarray:
    """Images as they are, without labels, drawn from all of a split: their order may be that of
    the classes.
    """
    data = batches(builder, split, input_shape, 128, normalize=normalize)
    x = np.concatenate([images.numpy() for images, _ in data])
    return np.random.default_rng(0).permutation(x)[:samples]


def in_memory(data: tf.data.Dataset) -> tf.data.Dataset:
    """The same data, read at once.

    `cache()` would keep a part for all of them if an iterator is given up while it reads ahead.
    """
    return tf.data.Dataset.from_tensor_slices(next(iter(data.batch(len(data)))))


def seeded(data: tf.data.Dataset, seed: int, function: Callable) -> tf.data.Dataset:
    """The data mapped by function(images, key), with another key each time."""
    keys = tf.data.Dataset.random(seed).batch(2)
    return tf.data.Dataset.zip(data, keys).map(
        lambda pair, key: (function(pair[0], key), pair[1]), tf.data.AUTOTUNE
    )


def random_part(image: tf.Tensor, key: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """8 to 100 % of the image's area, at an aspect of 3/4 to 4/3, as is usual for ImageNet."""
    start, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image), tf.zeros([1, 0, 4]), key, 0.1, (3 / 4, 4 / 3), (0.08, 1), 100, True
    )
    return tf.image.resize(tf.slice(image, start, extent), size)


def center(image: tf.Tensor, _: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """The middle of the image, resized."""
    side = tf.cast(tf.reduce_min(tf.shape(image)[:2]), tf.float32)
    side = tf.cast(side * CENTER, tf.int32)
    return tf.image.resize(tf.image.resize_with_crop_or_pad(image, side, side), size)


def channels(images: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """The images with as many channels as the model takes."""
    if images.shape[-1] == 1 and shape[-1] == 3:
        images = tf.image.grayscale_to_rgb(images)
    return tf.ensure_shape(images, (None, *shape))


def move(images: tf.Tensor, key: tf.Tensor, shift: int) -> tf.Tensor:
    """Each image moved by up to `shift` pixels, and mirrored or not."""
    count, height, width, _ = tf.unstack(tf.shape(images))
    flips = tf.random.stateless_uniform([count, 1, 1, 1], key) < 0.5
    images = tf.where(flips, images[:, :, ::-1], images)
    if not shift:
        return images
    top, left = tf.unstack(
        tf.random.stateless_uniform([2, count, 1], key, 0, 2 * shift + 1, tf.int32)
    )
    shape = images.shape
    images = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]])
    images = tf.gather(images, top + tf.range(height), axis=1, batch_dims=1)
    return tf.ensure_shape(tf.gather(images, left + tf.range(width), axis=2, batch_dims=1), shape)


def randaugment(seed: int) -> Callable:
    """KerasCV's RandAugment for batches of pixels in [0, 255]."""
    import keras_cv

    layer = keras_cv.layers.RandAugment((0, 255), augmentations_per_image=2, seed=seed)
    return lambda images, labels: (layer(images, training=True), labels)
