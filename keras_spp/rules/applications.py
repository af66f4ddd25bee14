"""Rules of the layers that `keras.applications` and KerasHub define for their networks."""

from __future__ import annotations

from typing import Any

from keras_spp.core.call import Call
from keras_spp.core.channels import Labels, Tensor
from keras_spp.core.common_rules import count, elementwise, merged
from keras_spp.core.rule import keras_rule

keras_rule("CustomScaleLayer")(merged)  # x + scale * y
keras_rule("StochasticDepth")(elementwise)  # drops whole samples' branches in training
keras_rule("keras_hub.HGNetV2LearnableAffineBlock")(elementwise)  # two numbers for all channels


@keras_rule("LayerScale")
def layer_scale(call: Call, x: Tensor, **_: Any) -> Labels:
    """Records one factor per channel."""
    labels = call.vector(x)
    call.follows(call.layer.gamma, 0, labels)
    call.resize("projection_dim", [labels], count)
    return call.place(labels)
