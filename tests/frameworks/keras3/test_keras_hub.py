"""KerasHub's networks for images, in small: their composites are opened and pruned inside."""

import itertools
from functools import partial

import numpy as np
import pytest

import keras_spp as spp
from keras_spp import frameworks
from tests.helpers.calibrated import calibrate
from tests.helpers.keras3 import assert_equal, masked_and_small
from tests.helpers.slow import slow_but
from tests.zoo.keras3_models import outputs, randomize
from tests.zoo.keras3_networks import classifier

hub = pytest.importorskip("keras_hub").models


def resnet(size, block_type="basic_block", pre=False, stages=4, stem=1):
    return hub.ResNetBackbone(
        input_conv_filters=[64] * stem,
        input_conv_kernel_sizes=[3] * stem,
        stackwise_num_filters=[64, 24, 32, 48][:stages],
        stackwise_num_blocks=[1, 2, 1, 1][:stages],
        stackwise_num_strides=[1, 2, 2, 2][:stages],
        block_type=block_type,
        use_pre_activation=pre,
        image_shape=(size, size, 3),
    )


def csp(stage_type, block_type):
    return hub.CSPNetBackbone(
        stem_filters=16,
        stem_kernel_size=3,
        stem_strides=2,
        stackwise_depth=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[16, 32],
        stage_type=stage_type,
        block_type=block_type,
        # A block adds what it makes to what it gets: of these stages half of the channels.
        block_ratio=[1.0 if stage_type == "dark" else 0.5],
        groups=4 if block_type == "bottleneck_block" else 1,
        image_shape=(32, 32, 3),
    )


def efficientnet(*block_types):
    stages = len(block_types)
    return hub.EfficientNetBackbone(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        stackwise_kernel_sizes=[3, 5, 3][:stages],
        stackwise_num_repeats=[1, 2, 2][:stages],
        stackwise_input_filters=[16, 16, 24][:stages],
        stackwise_output_filters=[16, 24, 32][:stages],
        stackwise_expansion_ratios=[1, 4, 4][:stages],
        stackwise_squeeze_and_excite_ratios=[0, 0.25, 0.25][:stages],
        stackwise_strides=[1, 2, 2][:stages],
        stackwise_block_types=block_types,
        input_shape=(32, 32, 3),
        num_features=64,
    )


def mobilenet(squeeze, residual):
    return hub.MobileNetBackbone(
        stackwise_num_blocks=[2, 1],
        stackwise_expansion=[[40, 56], [64]],
        stackwise_num_filters=[[16, 16], [24]],
        stackwise_kernel_size=[[3, 3], [5]],
        stackwise_num_strides=[[2, 1], [2]],
        stackwise_se_ratio=[[None, 0.25], [0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish"]],
        stackwise_padding=[[1, 1], [2]],
        output_num_filters=64,
        depthwise_filters=16,
        depthwise_stride=1,
        depthwise_residual=residual,
        last_layer_filter=48,
        squeeze_and_excite=squeeze,
        image_shape=(32, 32, 3),
    )


def hgnet(affine):
    return hub.HGNetV2Backbone(
        depths=[1, 2],
        embedding_size=16,
        hidden_sizes=[32, 48],
        stem_channels=[3, 16, 16],
        hidden_act="relu",
        use_learnable_affine_block=affine,
        stackwise_stage_filters=[[16, 16, 32, 1, 2, 3], [32, 24, 48, 2, 2, 5]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=(32, 32, 3),
    )


def deeplab(low_level):
    backbone = hub.DeepLabV3Backbone(
        image_encoder=resnet(64),
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[2, 3],
        low_level_feature_key=low_level,
        projection_filters=12,
        image_shape=(64, 64, 3),
    )
    return hub.DeepLabV3ImageSegmenter(backbone, num_classes=3)


def retinanet(normalised):
    backbone = hub.RetinaNetBackbone(
        image_encoder=resnet(64),
        min_level=3,
        max_level=6,
        use_p5=normalised,
        use_fpn_batch_norm=normalised,
        image_shape=(64, 64, 3),
    )
    return hub.RetinaNetObjectDetector(
        backbone, num_classes=3, use_prediction_head_norm=normalised, pre_logits_num_conv_layers=1
    )


STAGES = itertools.product(("dark", "csp", "cs3"), ("dark_block", "edge_block", "bottleneck_block"))
BACKBONES = {
    "resnet": partial(resnet, 32),
    "resnet_v2": partial(resnet, 32, "bottleneck_block", pre=True),
    "resnet_vd": partial(resnet, 32, "basic_block_vd", stages=3, stem=3),
    "resnet_vd_bottleneck": partial(resnet, 32, "bottleneck_block_vd", stages=3, stem=3),
    "densenet": partial(hub.DenseNetBackbone, [2, 2], image_shape=(32, 32, 3)),
    "vgg": partial(hub.VGGBackbone, [1, 2], [16, 32], image_shape=(32, 32, 3)),
    "xception": partial(
        hub.XceptionBackbone,
        [[16, 24], [32, 32], [32] * 3, [32, 48], [48, 64]],
        [False, True, False, True, False],
        image_shape=(64, 64, 3),
    ),
    "efficientnet_v1": partial(efficientnet, "v1", "v1", "v1"),
    "efficientnet_v2": partial(efficientnet, "cba", "fused", "unfused"),
    "mobilenet": partial(mobilenet, None, True),
    "mobilenet_squeezed": partial(mobilenet, 0.5, False),
    "hgnetv2": partial(hgnet, False),
    "hgnetv2_affine": partial(hgnet, True),
    **{f"{stage}_{block}": partial(csp, stage, block) for stage, block in STAGES},
}
TASKS = {
    "deeplab": partial(deeplab, None),
    "deeplab_plus": partial(deeplab, "P2"),
    "retinanet": partial(retinanet, False),
    "retinanet_normalised": partial(retinanet, True),
}
QUICK = ["mobilenet_squeezed", "hgnetv2_affine", "cs3_edge_block", "deeplab_plus", "retinanet"]


@pytest.mark.parametrize("name", slow_but([*BACKBONES, *TASKS], QUICK))
def test_half_of_the_channels_go_exactly(name):
    built = BACKBONES[name] if name in BACKBONES else TASKS[name]
    model = classifier(built(), name) if name in BACKBONES else built()
    model = frameworks.of(model).opened(randomize(model))
    x = np.random.default_rng(1).normal(size=(16, *model.inputs[0].shape[1:])).astype("float32")
    calibrate(model, x)
    masked, small, groups = masked_and_small(model)
    assert_equal(outputs(masked, x[:2]), outputs(small, x[:2]))
    assert not groups.coupling.channels.failures
    assert all(output.std() > 1e-3 for output in outputs(model, x))
    assert spp.analyze(model).macs / spp.analyze(small).macs > 1.9
