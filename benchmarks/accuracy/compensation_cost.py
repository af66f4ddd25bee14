"""Seconds and memory of `spp.compensate`, over the depth of ResNets, and of ResNet-50.

    python -m benchmarks.accuracy.compensation_cost [--depth 20 32 44 56 110] [--network ResNet50]
        [--samples 1024] [--whole]

Networks have random weights and lose half of their channels, layer by layer the same share; samples
are noise. Each is measured in a process of its own. --depth are the ResNets for CIFAR (He et al.,
2016); the exponent is that of seconds over layers. --network is one of keras.applications, at its
own input size. --whole measures `spp.compress` to 2x fewer MACs instead.
"""

import argparse
import resource
import time

import numpy as np
import tf_keras as keras

import keras_spp as spp
from benchmarks.apart import apart
from keras_spp.pruning.network import label
from keras_spp.pruning.one_shot import pruned_at_once
from keras_spp.pruning.targets import Ratio

layers = keras.layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, nargs="*", default=[20, 32, 44, 56, 110])
    parser.add_argument("--network", nargs="*", default=[], help="names in keras.applications")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()

    print("| network | layers | seconds | of processors | more memory, GB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    counted, took = [], []
    for which in [*options.depth, *options.network]:
        count, seconds, of_processors, memory = apart(
            measure, which, options.samples, options.whole
        )
        name = f"ResNet-{which}" if isinstance(which, int) else which
        print(f"| {name} | {count} | {seconds:.0f} | {of_processors:.0f} | {memory:.1f} |")
        if isinstance(which, int):
            counted.append(count)
            took.append(of_processors)
    if len(counted) > 1:
        exponent = np.polyfit(np.log(counted), np.log(took), 1)[0]
        print(f"seconds grow with the number of layers to the power of {exponent:.2f}")


def measure(which: int | str, samples: int, whole: bool) -> tuple[int, float, float, float]:
    """Layers with kernels, seconds by the clock and of processors, memory beyond the samples."""
    keras.utils.set_random_seed(0)
    if isinstance(which, int):
        model = cifar_resnet(which)
    else:
        model = getattr(keras.applications, which)(weights=None)
    x = np.random.default_rng(0).normal(size=(samples, *model.input_shape[1:])).astype("float32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, of_processors = time.perf_counter(), time.process_time()
    if whole:
        spp.compress(model, x, 2.0, samples=samples, verbose=0)
    else:
        network = label(model)
        goals = Ratio(0.5).meet(network, spp.Uniform(), None, 1)
        small = pruned_at_once(network.model, network.groups, goals)
        spp.compensate(small, model, x, samples)
    clock, of_processors = time.perf_counter() - clock, time.process_time() - of_processors
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(any(len(w.shape) > 1 for w in layer.weights) for layer in model.layers)
    return count, clock, of_processors, (after - before) / 2**20


def cifar_resnet(depth: int) -> keras.Model:
    """The ResNet of He et al. for 32 x 32 pixels, of 6 n + 2 layers, with projections."""

    def convolution(x, filters, size, strides):
        x = layers.Conv2D(filters, size, strides, "same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(convolution(inputs, 16, 3, 1))
    for filters in (16, 32, 64):
        for block in range((depth - 2) // 6):
            strides = 2 if filters > 16 and block == 0 else 1
            short = x if strides == 1 else convolution(x, filters, 1, strides)
            x = layers.ReLU()(convolution(x, filters, 3, strides))
            x = layers.ReLU()(layers.Add()([convolution(x, filters, 3, 1), short]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


if __name__ == "__main__":
    main()
