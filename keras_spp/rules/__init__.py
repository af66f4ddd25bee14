"""What Keras' layers do to labels, and what rules for layers of your own are made of."""

from keras_spp.core.channels import Reason
from keras_spp.core.rule import Call, count, elementwise, merged, moved, rule, tensors_in

__all__ = ["Call", "Reason", "count", "elementwise", "merged", "moved", "rule", "tensors_in"]
