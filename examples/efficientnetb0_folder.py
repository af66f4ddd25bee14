"""EfficientNetB0, trained on ImageNet, transferred to your photos and pruned to half of the MACs.

    python -m examples.efficientnetb0_folder --data-dir DIR [--model FILE]

DIR holds train/<label>/<image>.jpg and test/<label>/<image>.jpg, as of tf_flowers (PNG does too;
--test-split val for a folder called so). Keras downloads the trained weights, or FILE is another
network that takes pixels from 0 to 255, as an EfficientNet-Lite: one that ends in pooled features
gets a Dense layer for your labels behind them, and the Dense layer of a classifier makes room for
it. The network is fine-tuned before it is pruned.
"""

from __future__ import annotations

from examples import images, recipe

# isort: split
import tf_keras as keras

RECIPE = recipe.Recipe(
    __doc__,
    network=recipe.application(keras.applications.EfficientNetB0),
    dataset="folder",
    test_split="test",
    image_size=224,
    speedup=2.0,
    epochs=30,
    learning_rate=0.01,
    dense_epochs=20,
    dense_learning_rate=0.01,
    batch_size=32,
    weight_decay=1e-5,  # of its authors
    normalize=images.NORMALIZATIONS["pixels"],
)


if __name__ == "__main__":
    recipe.main(RECIPE)
