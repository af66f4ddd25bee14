"""The rules of Keras' layers, and the parts for rules of your own layers."""

from keras_spp.core.call import Call, tensors_in
from keras_spp.core.channels import Reason
from keras_spp.core.common_rules import count, elementwise, merged, moved
from keras_spp.core.rule import rule

__all__ = ["Call", "Reason", "count", "elementwise", "merged", "moved", "rule", "tensors_in"]
