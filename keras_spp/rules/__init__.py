"""What Keras' layers do to labels, and what rules for layers of your own are made of."""

from keras_spp.core.call import Call, tensors_in
from keras_spp.core.channels import Reason
from keras_spp.core.common_rules import count, elementwise, merged, moved
from keras_spp.core.rule import rule

__all__ = ["Call", "Reason", "count", "elementwise", "merged", "moved", "rule", "tensors_in"]
