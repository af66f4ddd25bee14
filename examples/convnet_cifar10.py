"""A small network of three convolutions on CIFAR-10 with 2, 4 or 6 times fewer MACs.

    python -m examples.convnet_cifar10 --data-dir DIR --speedup 4 [--model convnet.keras]

tfds downloads the data to DIR if it is not there; without --model the network is trained first.
The paper starts with such a network: it trains within minutes, and leaves little to prune.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tf_keras as keras

L = keras.layers


def convnet(image_size: int, classes: int) -> keras.Model:
    """Caffe's cifar10_quick: convolutions of 32, 32 and 64 channels, then 64 units."""
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            L.Conv2D(32, 5, padding="same"),
            L.MaxPool2D(3, 2, padding="same"),
            L.ReLU(),
            L.Conv2D(32, 5, padding="same", activation="relu"),
            L.AveragePooling2D(3, 2, padding="same"),
            L.Conv2D(64, 5, padding="same", activation="relu"),
            L.AveragePooling2D(3, 2, padding="same"),
            L.Flatten(),
            L.Dense(64),
            L.Dense(classes),
        ],
        name="convnet",
    )


RECIPE = recipe.Recipe(
    __doc__,
    network=convnet,
    dataset="cifar10",
    test_split="test",
    image_size=32,
    speedup=2.0,
    epochs=40,
    learning_rate=0.002,  # with 0.01 a run may end 14 points lower (docs/measured/schedule.md)
    dense_epochs=60,
    dense_learning_rate=0.01,  # more does not train without batch normalisation
    batch_size=128,
    weight_decay=4e-3,  # Caffe's; the network is small but overfits all the same
)


if __name__ == "__main__":
    recipe.main(RECIPE)
