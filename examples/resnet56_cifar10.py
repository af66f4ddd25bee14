"""ResNet-56 on CIFAR-10 with half of the MACs.

    python -m examples.resnet56_cifar10 --data-dir DIR [--model resnet56.keras]

tfds downloads the data to DIR if it is not there; without --model the network is trained first.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tensorflow as tf
import tf_keras as keras

L = keras.layers


def resnet56(image_size: int, classes: int) -> keras.Model:
    """He et al. 2016, section 4.2: 9 blocks at each of 3 widths, shortcuts without weights."""

    def convolution(x: tf.Tensor, width: int, stride: int = 1) -> tf.Tensor:
        x = L.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
        return L.BatchNormalization(momentum=0.9)(x)

    image = keras.Input((image_size, image_size, 3))
    x = L.ReLU()(convolution(image, 16))
    for width in (16, 32, 64):
        for block in range(9):
            stride = 2 if block == 0 and width > 16 else 1
            shortcut = x
            if stride == 2:  # option A: every other pixel, zeros in the new channels
                shortcut = tf.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [width // 4] * 2])
            x = L.ReLU()(convolution(x, width, stride))
            x = L.ReLU()(L.Add()([convolution(x, width), shortcut]))
    return keras.Model(image, L.Dense(classes)(L.GlobalAveragePooling2D()(x)), name="resnet56")


RECIPE = recipe.Recipe(
    __doc__,
    network=resnet56,
    dataset="cifar10",
    test_split="test",
    image_size=32,
    speedup=2.0,
    epochs=60,
    learning_rate=0.05,
    dense_epochs=164,  # 64,000 steps, as published
    dense_learning_rate=0.1,
    batch_size=128,
    weight_decay=1e-4,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
