"""The networks of `keras.applications`, with random weights, on small images."""

import keras
import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from keras_spp.core.kinds import is_a
from tests.helpers.keras3 import assert_equal, masked_and_small
from tests.zoo.keras3_models import ops, outputs, randomize

# Sizes of the images, and the least that half of the channels save in MACs: the wide inner layer of
# ConvNeXt's blocks is all that is not normalised over channels.
QUICK = {"MobileNetV2": (64, 3.5), "MobileNetV3Small": (64, 3)}
SLOW = {
    "ConvNeXtTiny": (64, 1.8), "DenseNet121": (64, 3.5), "EfficientNetB0": (64, 3.4),
    "EfficientNetV2B0": (64, 3.5), "InceptionV3": (96, 3.5), "MobileNet": (64, 3.5),
    "NASNetMobile": (224, 3.3), "ResNet50": (64, 3.5), "ResNet50V2": (64, 3.5), "VGG16": (32, 3.5),
    "Xception": (96, 3.5),
}  # fmt: skip


def calibrate(model, x):
    """Gives normalisations the mean, and 16 times the variance, of what they see of a batch."""
    framework = frameworks.of(model)

    def hook(layer):
        def normalised(inputs, _):
            axes = list(range(len(inputs.shape) - 1))
            mean, variance = ops.moments(inputs, axes)
            variance = 16 * variance + 1e-3
            framework.write(layer.moving_mean, ops.convert_to_numpy(mean))
            framework.write(layer.moving_variance, ops.convert_to_numpy(variance))
            y = (inputs - mean) * ops.rsqrt(variance + layer.epsilon)
            y = y * framework.read(layer.gamma) if layer.scale else y
            return y + framework.read(layer.beta)

        return normalised if is_a(layer, "BatchNormalization") else None

    framework.Probe(model, hooks=hook).call(x)


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
    x = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    if any(is_a(layer, "Rescaling") for layer in model.layers):  # it takes pixels
        x = 100 * np.abs(x)
    calibrate(model, x)
    masked, small, groups = masked_and_small(model)
    assert_equal(outputs(masked, x), outputs(small, x))
    assert not groups.coupling.channels.failures
    assert outputs(model, x)[0].std() > 1e-3
    assert spp.analyze(model).macs / spp.analyze(small).macs > saved
