"""The images of the recipes and benchmarks."""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from examples import images


class Builder:
    """Stands for a tfds builder of 300 images that are read in parallel."""

    name = "photos"
    info = SimpleNamespace(features={"image": SimpleNamespace(shape=(8, 8, 3))})

    def as_dataset(self, split, as_supervised):
        pixels = np.random.default_rng(0).integers(0, 255, (300, 8, 8, 3), np.uint8)
        every = tf.data.Dataset.from_tensor_slices((pixels, np.arange(300) % 10))
        data = tf.data.Dataset.range(10).interleave(
            lambda part: every.shard(10, part), cycle_length=8, num_parallel_calls=4
        )
        return data.apply(tf.data.experimental.assert_cardinality(300)).prefetch(4)


def test_no_image_is_lost_when_an_iterator_is_given_up():
    data = images.batches(Builder(), "test", (8, 8, 3), 16)
    for _ in range(3):
        assert len(next(iter(data))[0]) == 16
    labels = np.concatenate([y.numpy() for _, y in data])
    assert np.bincount(labels).tolist() == [30] * 10
