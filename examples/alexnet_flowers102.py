"""AlexNet, trained on ImageNet, transferred to Oxford Flowers-102 and pruned there.

    python -m examples.alexnet_flowers102 --data-dir DIR --model alexnet.keras

alexnet.keras is what examples/alexnet_imagenet.py saves as dense.keras, or any trained AlexNet
that ends in a Dense layer: its 1000 classes make room for 102. tfds downloads the data to DIR if
it is not there. The dense network is fine-tuned before it is pruned, so that the comparison is
with the best that it can do. Columns, because of local response normalisation, as for ImageNet.
"""

from __future__ import annotations

from examples import recipe
from examples.alexnet_imagenet import alexnet

RECIPE = recipe.Recipe(
    __doc__,
    network=alexnet,
    dataset="oxford_flowers102",
    train_split="train+validation",  # 20 images of each flower, which is few enough
    test_split="test",
    image_size=227,
    speedup=4.0,
    granularity="column",
    counted="convolutions",
    epochs=120,  # of 31 steps
    learning_rate=0.001,
    dense_epochs=60,
    dense_learning_rate=0.001,
    batch_size=64,
    weight_decay=5e-4,
    needs_model=True,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
