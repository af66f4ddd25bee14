"""The networks of `keras.applications`, with random weights, on small images."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp.core.kinds import is_a
from tests.helpers.calibrated import calibrate
from tests.helpers.keras3 import assert_equal, masked_and_small
from tests.zoo.keras3_models import outputs, randomize

# Sizes of the images, and the least that half of the channels save in MACs: the wide inner layer of
# ConvNeXt's blocks is all that is not normalised over channels.
QUICK = {"MobileNetV2": (64, 3.5), "MobileNetV3Small": (64, 3)}
SLOW = {
    "ConvNeXtTiny": (64, 1.8), "DenseNet121": (64, 3.5), "EfficientNetB0": (64, 3.4),
    "EfficientNetV2B0": (64, 3.5), "InceptionV3": (96, 3.5), "MobileNet": (64, 3.5),
    "NASNetMobile": (224, 3.3), "ResNet50": (64, 3.5), "ResNet50V2": (64, 3.5), "VGG16": (32, 3.5),
    "Xception": (96, 3.5),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size", "saved"),
    [
        *[(name, *case) for name, case in QUICK.items()],
        *[pytest.param(name, *case, marks=pytest.mark.slow) for name, case in SLOW.items()],
    ],
)
def test_half_of_the_channels_go_exactly(name, size, saved):
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name)
    options = {"weights": None, "classifier_activation": None}  # a softmax would hide much
    model = randomize(make(input_shape=(size, size, 3), classes=10, **options))
    x = np.random.default_rng(1).normal(size=(16, size, size, 3)).astype("float32")
    if any(is_a(layer, "Rescaling") for layer in model.layers):  # it takes pixels
        x = 100 * np.abs(x)
    calibrate(model, x)
    masked, small, groups = masked_and_small(model)
    assert_equal(outputs(masked, x[:2]), outputs(small, x[:2]))
    assert not groups.coupling.channels.failures
    assert outputs(model, x)[0].std() > 1e-3
    assert spp.analyze(model).macs / spp.analyze(small).macs > saved
