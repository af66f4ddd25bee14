"""Networks as records of channels, written by hand: what tracing finds, without a framework."""

import numpy as np

from keras_spp.core.channels import Channels, Reason
from keras_spp.core.coupling import couple
from keras_spp.core.groups import Groups


class Kernel:
    """Stands for a variable: the record only looks at its identity and shape."""

    def __init__(self, *shape):
        self.shape = shape


class Layer:
    """Stands for a layer: the record only looks at its identity, name and groups."""

    def __init__(self, name="layer", **attributes):
        self.name = name
        vars(self).update(attributes)


class Record:
    """A record that grows layer by layer; tensors are vectors of labels, one per channel."""

    def __init__(self):
        self.channels = Channels()

    def image(self, count):
        """The channels of an input."""
        labels = self.channels.new(count)
        self.channels.freeze(labels, Reason.INPUT)
        return labels

    def layer(self, name, x, shape, reads=-2, writes=-1, positions=(), groups=1):
        """The channels of a layer whose kernel of this shape is multiplied at every position."""
        layer, kernel = Layer(name, groups=groups), Kernel(*shape)
        made = self.channels.new(shape[writes])
        self.channels.label(layer, kernel, reads, self._folded(x, groups), "reads", "kernel")
        self.channels.label(layer, kernel, writes, made, "writes")
        self._folded(made, groups)
        self.channels.cost(layer, kernel, positions)
        return made

    def conv(self, name, x, filters, size=1, positions=(), groups=1):
        shape = size, size, len(x) // groups, filters
        return self.layer(name, x, shape, positions=positions, groups=groups)

    def dense(self, name, x, units, positions=()):
        return self.layer(name, x, (len(x), units), positions=positions)

    def normalisation(self, name, x, gamma):
        """A batch normalisation with this scale, None for none."""
        layer = Layer(name, moving_variance=Kernel(len(x)), gamma=gamma)
        for variable in (layer.moving_variance, gamma):
            if variable is not None:
                self.channels.label(layer, variable, 0, x, "follows")

    def coupling(self, *outputs):
        """What is coupled, when these are the network's outputs."""
        for labels in outputs:
            self.channels.freeze(labels, Reason.OUTPUT)
        return couple(self.channels)

    def groups(self, *outputs, granularity="channel"):
        return Groups(self.coupling(*outputs), granularity)

    def _folded(self, labels, groups):
        """The labels of the first group, to which those of the others are tied."""
        rows = labels.reshape(groups, -1)
        self.channels.tie(np.broadcast_to(rows[0], rows[1:].shape), rows[1:])
        return rows[0]
