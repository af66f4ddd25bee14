"""ResNet-50 on ImageNet with half of the MACs; the paper loses 0.8 points of top-5 there.

    python -m examples.resnet50_imagenet --data-dir DIR

DIR is a tfds folder with imagenet2012. Keras downloads the trained weights, which want images as
Caffe had them: BGR, without the mean. Channels that additions join leave all joined layers.
"""

from __future__ import annotations

from examples import recipe

# isort: split
import tf_keras as keras

RECIPE = recipe.Recipe(
    __doc__,
    network=recipe.application(keras.applications.ResNet50),
    dataset="imagenet2012",
    test_split="validation",
    image_size=224,
    speedup=2.0,
    epochs=30,
    learning_rate=0.01,
    dense_epochs=90,
    dense_learning_rate=0.1,
    batch_size=128,
    weight_decay=1e-4,
    normalize=keras.applications.resnet50.preprocess_input,
)


if __name__ == "__main__":
    recipe.main(RECIPE)
