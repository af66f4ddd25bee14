"""The published networks of Keras 3: keras.applications, KerasHub's for images; untrained."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from tests.zoo.networks import application

L = keras.layers

APPLICATIONS = sorted(
    name for name, value in vars(keras.applications).items() if inspect.isfunction(value)
)

# The architectures whose options KerasHub knows, because it takes their weights from timm.
_OF_TIMM = {
    "resnet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
               "resnetv2_50", "resnetv2_101"),
    "vgg": ("vgg11", "vgg13", "vgg16", "vgg19"),
    "densenet": ("densenet121", "densenet169", "densenet201"),
    "efficientnet": (
        *(f"efficientnet_b{number}" for number in range(6)), "efficientnet_lite0",
        "efficientnet_es", "efficientnet_em", "efficientnet_el",
        "efficientnetv2_rw_t", "efficientnetv2_rw_s", "efficientnetv2_rw_m",
    ),
    "mobilenet": ("mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv3_large_100"),
    "cspnet": ("cspdarknet53", "cspresnet50", "cspresnext50", "darknet53"),
    "hgnetv2": tuple(f"hgnetv2_b{number}" for number in range(7)),
}  # fmt: skip
# HGNetV2's weights from these sources have no factor and offset behind their activations.
_WITHOUT_AFFINE = {"pretrained_cfg": {"tag": "ssld"}}

# ResNetVd's: the blocks of each stage. These and Xception's have the parameters that the presets
# of KerasHub state.
_VD = {
    "resnet_vd_18": ("basic_block_vd", [2, 2, 2, 2]),
    "resnet_vd_34": ("basic_block_vd", [3, 4, 6, 3]),
    "resnet_vd_50": ("bottleneck_block_vd", [3, 4, 6, 3]),
    "resnet_vd_101": ("bottleneck_block_vd", [3, 4, 23, 3]),
    "resnet_vd_152": ("bottleneck_block_vd", [3, 8, 36, 3]),
    "resnet_vd_200": ("bottleneck_block_vd", [3, 12, 48, 3]),
}


def build(name: str) -> keras.Model:
    """A network with ten logits (or a map of them) on a small image."""
    if name in APPLICATIONS:
        return application(getattr(keras.applications, name))
    return KERAS_HUB[name]()


def _hub() -> Any:
    import keras_hub

    return keras_hub.models


def classifier(backbone: keras.Model, name: str) -> keras.Model:
    """A backbone with global pooling and a dense layer on what its last stage returns."""
    features = backbone.output
    if isinstance(features, dict):
        features = features[backbone.stage_names[-1]]
    y = L.GlobalAveragePooling2D(name="pool")(features)
    return keras.Model(backbone.input, L.Dense(10, name="logits")(y), name=name)


def _of_timm(kind: str, name: str) -> keras.Model:
    converter = importlib.import_module(f"keras_hub.src.utils.timm.convert_{kind}")
    config: dict[str, Any] = {"architecture": name}
    if name in ("hgnetv2_b4", "hgnetv2_b5", "hgnetv2_b6"):
        config |= _WITHOUT_AFFINE
    options = converter.convert_backbone_config(config)
    shape = {"input_shape" if kind == "efficientnet" else "image_shape": (64, 64, 3)}
    return classifier(converter.backbone_cls(**options, **shape), name)


def _resnet_vd(name: str) -> keras.Model:
    block_type, blocks = _VD[name]
    backbone = _hub().ResNetBackbone(
        input_conv_filters=[32, 32, 64],
        input_conv_kernel_sizes=[3, 3, 3],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=blocks,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=block_type,
        image_shape=(64, 64, 3),
    )
    return classifier(backbone, name)


def _xception() -> keras.Model:
    filters = [[32, 64], [128] * 2, [256] * 2, [728] * 2, *[[728] * 3] * 8, [728, 1024]]
    backbone = _hub().XceptionBackbone(
        stackwise_conv_filters=[*filters, [1536, 2048]],
        stackwise_pooling=[False, *[True] * 3, *[False] * 8, True, False],
        image_shape=(71, 71, 3),
    )
    return classifier(backbone, "xception_41")


def _resnet(size: int, depth: int = 50) -> keras.Model:
    """The encoder of the networks below."""
    converter = importlib.import_module("keras_hub.src.utils.timm.convert_resnet")
    options = converter.convert_backbone_config({"architecture": f"resnet{depth}"})
    return _hub().ResNetBackbone(**options, image_shape=(size, size, 3))


def _deeplab(low_level: str | None) -> keras.Model:
    backbone = _hub().DeepLabV3Backbone(
        image_encoder=_resnet(64),
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        low_level_feature_key=low_level,
        image_shape=(64, 64, 3),
    )
    return _hub().DeepLabV3ImageSegmenter(backbone, num_classes=10)


def _retinanet(normalised: bool) -> keras.Model:
    backbone = _hub().RetinaNetBackbone(
        image_encoder=_resnet(128),
        min_level=3,
        max_level=7,
        use_p5=normalised,
        use_fpn_batch_norm=normalised,
        image_shape=(128, 128, 3),
    )
    return _hub().RetinaNetObjectDetector(
        backbone, num_classes=10, use_prediction_head_norm=normalised
    )


KERAS_HUB: dict[str, Callable[[], keras.Model]] = {
    **{name: partial(_of_timm, kind, name) for kind, names in _OF_TIMM.items() for name in names},
    **{name: partial(_resnet_vd, name) for name in _VD},
    "xception_41": _xception,
    "deeplab_v3_resnet50": partial(_deeplab, None),
    "deeplab_v3_plus_resnet50": partial(_deeplab, "P2"),
    "retinanet_resnet50_fpn": partial(_retinanet, False),
    "retinanet_resnet50_fpn_v2": partial(_retinanet, True),
}
