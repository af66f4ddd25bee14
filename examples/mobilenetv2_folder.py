"""MobileNetV2, trained on ImageNet, transferred to your own images and pruned to half of the MACs.

    python -m examples.mobilenetv2_folder --data-dir DIR

DIR holds train/<label>/<image>.jpg and test/<label>/<image>.jpg (PNG does too; --test-split val
for a folder called so). Keras downloads the trained weights; their head makes room for one with
your labels, in alphabetical order. The network is fine-tuned before it is pruned.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tf_keras as keras

RECIPE = recipe.Recipe(
    __doc__,
    network=recipe.application(keras.applications.MobileNetV2),
    dataset="folder",
    test_split="test",
    image_size=224,
    speedup=2.0,
    epochs=30,
    learning_rate=0.01,
    dense_epochs=20,
    dense_learning_rate=0.01,
    batch_size=32,
    weight_decay=4e-5,  # of its authors: more hurts depthwise convolutions
    normalize=keras.applications.mobilenet_v2.preprocess_input,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
