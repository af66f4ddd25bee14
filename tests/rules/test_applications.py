import pytest
import tf_keras as keras
from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import keras_spp as spp
from tests.rules.test_channelwise import check
from tests.zoo.models import L, random_probabilities, randomize, relative_error


def test_a_scaled_sum_ties_both_of_its_inputs():
    small = check(lambda y: CustomScaleLayer(0.3)([y, L.Conv2D(8, 1, name="second")(y)]))
    assert small.get_layer("second").filters == 4


def test_a_layer_scale_is_cut_with_its_channels():
    small = check(StochasticDepth(0.2))
    small = check(LayerScale(0.5, 8, name="scale"))
    assert small.get_layer("scale").gamma.shape == (4,)


@pytest.mark.slow
def test_a_convnext_keeps_its_normalised_streams_and_shrinks_inside_its_blocks():
    model = randomize(
        keras.applications.ConvNeXtTiny(
            weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
        )
    )
    pruned = spp.prune(model, pruning_ratio=0.5, round_to=1)
    random_probabilities(pruned)
    small = spp.shrink(pruned)
    assert relative_error(pruned, small) <= 2e-5
    reasons = {row.reason for row in spp.analyze(model) if row.reason}
    assert not any("unknown layer" in reason for reason in reasons)
    assert spp.analyze(model).macs > 1.8 * spp.analyze(small).macs
