"""VGG-16 on ImageNet with four times fewer MACs; the paper loses 0.8 points of top-5 there.

    python -m examples.vgg16_imagenet --data-dir DIR

DIR is a tfds folder with imagenet2012. Keras downloads the trained weights, which want images as
Caffe had them: BGR, without the mean. Whole channels suffice, so the small model is small in fact.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tf_keras as keras

RECIPE = recipe.Recipe(
    __doc__,
    network=recipe.application(keras.applications.VGG16),
    dataset="imagenet2012",
    test_split="validation",
    image_size=224,
    speedup=4.0,
    epochs=20,
    learning_rate=0.001,
    dense_epochs=74,
    dense_learning_rate=0.01,
    batch_size=64,
    weight_decay=5e-4,
    normalize=keras.applications.vgg16.preprocess_input,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
