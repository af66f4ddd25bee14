"""A dozen published networks that between them have every mechanism."""

from tests.helpers.random_weights import randomize
from tests.helpers.slow import slow_but
from tests.zoo.networks import build

DOZEN = (
    "ConvNeXtTiny",  # layer normalisation, 7x7 depthwise as grouped convolutions, layer scale
    "DenseNet121",  # concatenations of concatenations
    "EfficientNetB0",  # squeeze and excitation
    "EfficientNetV2B0",  # fused and unfused blocks
    "InceptionV3",  # branches of several widths
    "MobileNetV2",  # linear bottlenecks
    "MobileNetV3Small",  # hard swish and hard sigmoid as additions and multiplications
    "NASNetMobile",  # cells that read the two before them, with crops and paddings
    "RegNetY002",  # grouped convolutions behind gates
    "ResNet50",
    "ResNet50V2",  # normalisation before the convolutions
    "Xception",  # separable convolutions
)

PUBLISHED = slow_but(DOZEN, ["MobileNetV2"])  # the others take minutes in all


def network(name):
    """One of them (or another that tests/zoo/networks.py knows), with random weights."""
    return randomize(build(name))
