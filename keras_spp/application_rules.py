"""The rules of the layers that `tf_keras.applications` defines for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from keras_spp.channels import Labels, Tensor
from keras_spp.layer_rules import merged
from keras_spp.rules import Call, count, rule


@rule(CustomScaleLayer)
def scaled_sum(call: Call, tensors: Sequence[Tensor], **_: Any) -> Labels | list[Labels]:
    """X + scale * y."""
    return merged(call, tensors)


@rule(LayerScale)
def layer_scale(call: Call, x: Tensor, **_: Any) -> Labels:
    """One factor per channel."""
    labels = call.vector(x)
    call.follows(call.layer.gamma, 0, labels)
    call.resize("projection_dim", [labels], count)
    return call.place(labels)


@rule(StochasticDepth)
def stochastic_depth(call: Call, x: Tensor, **_: Any) -> Labels:
    """Drops whole samples' branches in training."""
    return x.labels
