"""AlexNet on ImageNet with four times fewer MACs; the paper loses 0.3 points of top-5 there.

    python -m examples.alexnet_imagenet --data-dir DIR [--model alexnet.keras]

DIR is a tfds folder with imagenet2012; without --model the network is trained first.

Local response normalisation mixes channels, so those of conv1 and conv2 have to stay and whole
channels (--granularity channel) go no further than 2x. Columns, the paper's groups, do; the
small model keeps them as zeros. The 4x are those of the convolutions, as the paper counts.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tensorflow as tf
import tf_keras as keras

L = keras.layers


def alexnet(image_size: int, classes: int) -> keras.Model:
    """As published (Krizhevsky et al. 2012), in two groups where that was split over two GPUs."""

    def normalized(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.local_response_normalization(x, depth_radius=2, bias=2, alpha=1e-4, beta=0.75)

    def convolution(x: tf.Tensor, width: int, size: int, name: str, groups: int = 1) -> tf.Tensor:
        options = {"padding": "same", "groups": groups, "activation": "relu", "name": name}
        return L.Conv2D(width, size, **options)(x)

    image = keras.Input((image_size, image_size, 3))
    x = L.Conv2D(96, 11, 4, activation="relu", name="conv1")(image)
    x = L.MaxPool2D(3, 2)(normalized(x))
    x = convolution(x, 256, 5, "conv2", groups=2)
    x = L.MaxPool2D(3, 2)(normalized(x))
    x = convolution(x, 384, 3, "conv3")
    x = convolution(x, 384, 3, "conv4", groups=2)
    x = convolution(x, 256, 3, "conv5", groups=2)
    x = L.Flatten()(L.MaxPool2D(3, 2)(x))
    for name in ("fc6", "fc7"):
        x = L.Dropout(0.5)(L.Dense(4096, activation="relu", name=name)(x))
    return keras.Model(image, L.Dense(classes, name="fc8")(x), name="alexnet")


RECIPE = recipe.Recipe(
    __doc__,
    network=alexnet,
    dataset="imagenet2012",
    test_split="validation",
    image_size=227,
    speedup=4.0,
    granularity="column",
    counted="convolutions",
    epochs=30,
    learning_rate=0.001,
    dense_epochs=90,
    dense_learning_rate=0.01,  # more does not train without batch normalisation
    batch_size=128,
    weight_decay=5e-4,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
