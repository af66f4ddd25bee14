import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

import keras_spp as spp
from keras_spp.frameworks import openable as composites
from tests.helpers.slow import slow_but
from tests.zoo.models import L, inputs_for, random_probabilities, randomize, relative_error


class Block(L.Layer):
    """A residual block that hides its layers."""

    def __init__(self, filters, wide=16, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.wide_filters = filters, wide
        self.wide = L.Conv2D(wide, 3, padding="same", activation="relu", name="wide")
        self.norm = L.BatchNormalization(name="norm")
        self.narrow = L.Conv2D(filters, 1, name="narrow")

    def call(self, x):
        return x + self.narrow(self.norm(self.wide(x)))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "wide": self.wide_filters}


@pytest.fixture
def opened_block(monkeypatch):
    monkeypatch.setattr(composites, "_OPENABLE", set())
    return spp.openable(Block)


def net():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(8, 3, padding="same", name="stem")(x)
    y = Block(8, name="one")(y)
    return randomize(keras.Model(x, L.Dense(4)(Block(8, name="two")(y))))


def test_a_composite_that_nobody_declared_stays_whole():
    rows = {row.layer: row for row in spp.analyze(net())}
    assert rows["stem"].reason == "unknown layer (one)"
    assert "wide" not in rows


def test_a_declared_composite_is_opened_and_its_inside_pruned(opened_block):
    model = net()
    before = [weight.numpy() for weight in model.weights]
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    assert relative_error(model, pruned) < 1e-6
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    for name in ("one", "two"):
        assert small.get_layer(name).get_layer("wide").filters == 8
        assert small.get_layer(name).get_layer("narrow").filters == 4
    assert all((a == b.numpy()).all() for a, b in zip(before, model.weights, strict=True))
    assert not any(isinstance(layer, Block) for layer in small._flatten_layers())


def test_the_small_model_does_not_need_the_composites_class(opened_block, tmp_path):
    pruned = spp.prune(net(), pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    small.save(tmp_path / "small.keras")
    x = inputs_for(small)[0]
    np.savez(tmp_path / "data.npz", x=x, y=small(x))
    code = (
        "import numpy as np, tf_keras as keras\n"
        f"model = keras.models.load_model({str(tmp_path / 'small.keras')!r})\n"
        f"data = np.load({str(tmp_path / 'data.npz')!r})\n"
        "np.testing.assert_allclose(model(data['x']), data['y'], rtol=1e-5, atol=1e-6)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_layer_classes_can_be_declared():
    with pytest.raises(TypeError, match="`kind` must be a Keras layer class but is 'Block'"):
        spp.openable("Block")


def keras_cv_backbone(name):
    keras_cv = pytest.importorskip("keras_cv")
    common = {"input_shape": (64, 64, 3), "include_rescaling": True}
    darknet = {"stackwise_channels": [32, 64, 96, 128], "stackwise_depth": [1, 2, 2, 1]}
    efficient = {
        "stackwise_kernel_sizes": [3, 3, 5],
        "stackwise_num_repeats": [1, 2, 2],
        "stackwise_input_filters": [32, 16, 32],
        "stackwise_output_filters": [16, 32, 48],
        "stackwise_expansion_ratios": [1, 4, 4],
        "stackwise_strides": [1, 2, 2],
    }
    width = {"width_coefficient": 1.0, "depth_coefficient": 1.0}
    squeeze = "stackwise_squeeze_and_excite_ratios"
    stages = {"stackwise_blocks": [2, 2, 2], "stackwise_strides": [1, 2, 2]}
    filters = {"stackwise_filters": [64, 128, 128]}
    options = {
        "ResNetBackbone": {**filters, **stages, "block_type": "basic_block"},
        "ResNetV2Backbone": {**filters, **stages, "block_type": "block"},
        "DenseNetBackbone": {"stackwise_num_repeats": [2, 2, 2], "growth_rate": 16},
        "CSPDarkNetBackbone": darknet,
        "YOLOV8Backbone": darknet,
        "EfficientNetV1Backbone": {**efficient, **width, squeeze: [0.25] * 3},
        "EfficientNetLiteBackbone": {**efficient, **width},
        "EfficientNetV2Backbone": {
            **efficient,
            **width,
            squeeze: [0, 0, 0.25],
            "stackwise_conv_types": ["fused", "fused", "unfused"],
        },
        "MobileNetV3Backbone": {
            "stackwise_expansion": [1, 4.5, 4, 4],
            "stackwise_filters": [16, 24, 24, 40],
            "stackwise_kernel_size": [3, 3, 3, 5],
            "stackwise_stride": [2, 2, 1, 2],
            "stackwise_se_ratio": [0.25, None, None, 0.25],
            "stackwise_activation": ["relu", "relu", "relu", "hard_swish"],
        },
    }[name]
    backbone = getattr(keras_cv.models, name)(**common, **options)
    y = L.Dense(5)(L.GlobalAveragePooling2D()(backbone.output))
    return randomize(keras.Model(backbone.input, y))


BACKBONES = [
    "ResNetBackbone",
    "ResNetV2Backbone",
    "DenseNetBackbone",
    "CSPDarkNetBackbone",
    "YOLOV8Backbone",
    "EfficientNetV1Backbone",
    "EfficientNetLiteBackbone",
    "EfficientNetV2Backbone",
    "MobileNetV3Backbone",
]


@pytest.mark.parametrize("name", slow_but(BACKBONES, ["DenseNetBackbone", "MobileNetV3Backbone"]))
def test_keras_cv_backbones_shrink_exactly_without_freezing(name):
    model = keras_cv_backbone(name)
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    x = 50 * inputs_for(pruned)[0]
    expected = pruned(x).numpy()
    assert np.abs(expected - small(x)).max() <= 2e-5 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    assert spp.analyze(model).macs > 2.5 * spp.analyze(small).macs
