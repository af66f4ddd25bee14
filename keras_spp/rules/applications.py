"""The rules of the layers that `tf_keras.applications` defines for itself."""

from __future__ import annotations

from typing import Any

from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from keras_spp.core.channels import Labels, Tensor
from keras_spp.core.rule import Call, count, elementwise, merged, rule

rule(CustomScaleLayer)(merged)  # x + scale * y
rule(StochasticDepth)(elementwise)  # drops whole samples' branches in training


@rule(LayerScale)
def layer_scale(call: Call, x: Tensor, **_: Any) -> Labels:
    """One factor per channel."""
    labels = call.vector(x)
    call.follows(call.layer.gamma, 0, labels)
    call.resize("projection_dim", [labels], count)
    return call.place(labels)
