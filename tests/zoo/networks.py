"""The published networks: tf_keras.applications, KerasCV's backbones, a ResNet-20; untrained."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import tf_keras as keras

L = keras.layers
SIZES = (32, 71, 75, 96, 128, 224)

# What KerasCV's presets consist of, which `from_preset` would download. The numbers of parameters
# are those in the presets' metadata (MobileNetV3's, and EfficientNet V1's and Lite's there are off
# by less than a percent: these have what tf_keras.applications has).
_BLOCKS = {"18": [2, 2, 2, 2], "34": [3, 4, 6, 3], "50": [3, 4, 6, 3]}
_STAGES = {"stackwise_filters": [64, 128, 256, 512], "stackwise_strides": [1, 2, 2, 2]}
_EFFICIENT = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
}
_EFFICIENT_V2 = {
    "stackwise_kernel_sizes": [3] * 6,
    "stackwise_squeeze_and_excite_ratios": [0, 0, 0, 0.25, 0.25, 0.25],
    "stackwise_strides": [1, 2, 2, 2, 1, 2],
    "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
    "stackwise_conv_types": ["fused"] * 3 + ["unfused"] * 3,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
}
KERAS_CV = {
    **{
        f"resnet{depth}{suffix}": (
            f"ResNet{suffix[1:].upper()}Backbone",
            {
                **_STAGES,
                "stackwise_blocks": blocks,
                "block_type": "block" if depth == "50" else "basic_block",
            },
        )
        for depth, blocks in _BLOCKS.items()
        for suffix in ("", "_v2")
    },
    "densenet121": ("DenseNetBackbone", {"stackwise_num_repeats": [6, 12, 24, 16]}),
    "csp_darknet_tiny": (
        "CSPDarkNetBackbone",
        {"stackwise_channels": [48, 96, 192, 384], "stackwise_depth": [1, 3, 3, 1]},
    ),
    "csp_darknet_s": (
        "CSPDarkNetBackbone",
        {"stackwise_channels": [64, 128, 256, 512], "stackwise_depth": [1, 3, 3, 1]},
    ),
    "yolo_v8_xs_backbone": (
        "YOLOV8Backbone",
        {"stackwise_channels": [32, 64, 128, 256], "stackwise_depth": [1, 2, 2, 1]},
    ),
    "yolo_v8_s_backbone": (
        "YOLOV8Backbone",
        {"stackwise_channels": [64, 128, 256, 512], "stackwise_depth": [1, 2, 2, 1]},
    ),
    "mobilenet_v3_small": (
        "MobileNetV3Backbone",
        {
            "stackwise_expansion": [1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6],
            "stackwise_filters": [16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96],
            "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5],
            "stackwise_stride": [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1],
            "stackwise_se_ratio": [0.25, None, None] + [0.25] * 8,
            "stackwise_activation": ["relu"] * 3 + ["hard_swish"] * 8,
        },
    ),
    "mobilenet_v3_large": (
        "MobileNetV3Backbone",
        {
            "stackwise_expansion": [1, 4, 3, 3, 3, 3, 6, 2.5, 2.3, 2.3, 6, 6, 6, 6, 6],
            "stackwise_filters": [16, 24, 24] + [40] * 3 + [80] * 4 + [112] * 2 + [160] * 3,
            "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5],
            "stackwise_stride": [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1],
            "stackwise_se_ratio": [None] * 3 + [0.25] * 3 + [None] * 4 + [0.25] * 5,
            "stackwise_activation": ["relu"] * 6 + ["hard_swish"] * 9,
        },
    ),
    "efficientnetv1_b0": (
        "EfficientNetV1Backbone",
        {**_EFFICIENT, "stackwise_squeeze_and_excite_ratios": [0.25] * 7},
    ),
    "efficientnetlite_b0": ("EfficientNetLiteBackbone", _EFFICIENT),
    "efficientnetv2_b0": (
        "EfficientNetV2Backbone",
        {
            **_EFFICIENT_V2,
            "stackwise_num_repeats": [1, 2, 2, 3, 5, 8],
            "stackwise_input_filters": [32, 16, 32, 48, 96, 112],
            "stackwise_output_filters": [16, 32, 48, 96, 112, 192],
        },
    ),
    "efficientnetv2_s": (
        "EfficientNetV2Backbone",
        {
            **_EFFICIENT_V2,
            "stackwise_num_repeats": [2, 4, 4, 6, 9, 15],
            "stackwise_input_filters": [24, 24, 48, 64, 128, 160],
            "stackwise_output_filters": [24, 48, 64, 128, 160, 256],
        },
    ),
    # Without rescaling, which no batch normalisation would make up for.
    "vgg16": ("VGG16Backbone", {"include_top": False, "include_rescaling": False}),
}

APPLICATIONS = sorted(
    name for name, value in vars(keras.applications).items() if inspect.isfunction(value)
)


def build(name: str) -> keras.Model:
    """A network with ten logits, at the smallest input that it accepts."""
    return _keras_cv(name) if name in KERAS_CV else application(getattr(keras.applications, name))


def application(make: Callable[..., Any]) -> Any:
    """A network of `keras.applications`, of either Keras, by the function that makes it."""
    for size in SIZES:
        try:
            return make(
                weights=None, classes=10, classifier_activation=None, input_shape=(size, size, 3)
            )
        except ValueError as error:
            cause = error
    raise cause


def _keras_cv(name: str) -> keras.Model:
    import keras as keras_3
    import keras_cv

    keras_3.config.set_dtype_policy(keras.backend.floatx())  # the layers of VGG16 are Keras 3's
    kind, options = KERAS_CV[name]
    options = {"include_rescaling": True, "input_shape": (64, 64, 3), **options}
    backbone = getattr(keras_cv.models, kind)(**options)
    y = L.GlobalAveragePooling2D(name="pool")(backbone.output)
    return keras.Model(backbone.input, L.Dense(10, name="logits")(y), name=name)


def resnet20() -> keras.Model:
    """The CIFAR-10 ResNet-20 of He et al., with projection shortcuts."""

    def block(x, filters, strides):
        y = L.ReLU()(L.BatchNormalization()(conv(x, filters, strides)))
        y = L.BatchNormalization()(conv(y, filters, 1))
        if strides > 1:
            x = L.BatchNormalization()(L.Conv2D(filters, 1, strides=strides, use_bias=False)(x))
        return L.ReLU()(L.Add()([x, y]))

    def conv(x, filters, strides):
        return L.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)

    x = inputs = keras.Input((32, 32, 3))
    x = L.ReLU()(L.BatchNormalization()(conv(x, 16, 1)))
    for filters, number in itertools.product((16, 32, 64), range(3)):
        x = block(x, filters, 2 if filters > 16 and number == 0 else 1)
    return keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)), name="resnet20")
