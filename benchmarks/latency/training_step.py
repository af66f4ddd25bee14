"""What a training step of a pruned model costs, against a step of the plain one.

    python -m benchmarks.latency.training_step [--model FILE | --network NAME]
        [--pairs 40] [--batch 128] [--keras 3]

All models train in one process on the same random batch, in turn and in changing order; the ratio
is the median over the pairs, so that noise of the machine hits all alike. Beside the time on the
clock stands that of the processors, which other programs on the machine disturb less. Without a
model file an untrained network is built on the spot: a ResNet-20 for CIFAR-10, or the one of
keras.applications that is named (`--network ResNet50`). With --keras 3 the network is rebuilt in
Keras 3, on the backend that KERAS_BACKEND names.
"""

import argparse
import itertools
import os
import statistics
import time
from typing import Any

import numpy as np
import tf_keras

import keras_spp as spp
from benchmarks.to_keras3 import converted
from keras_spp.frameworks.tf_keras.loading import load_model
from tests.zoo.networks import resnet20


def compiled(keras: Any, model: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="a saved tf_keras classifier with logits out")
    which.add_argument("--network", default="resnet20", help="or one of keras.applications")
    parser.add_argument("--size", type=int, help="of the network's images, if not its own")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--frequency", type=int, default=2, help="steps between updates of p")
    parser.add_argument("--keras", type=int, choices=[2, 3], default=2)
    options = parser.parse_args()

    if options.model:
        plain = load_model(options.model, compile=False)
    elif options.network == "resnet20":
        plain = resnet20()
    else:
        make = getattr(tf_keras.applications, options.network)
        size = (options.size, options.size, 3) if options.size else None
        plain = make(weights=None, input_shape=size, classifier_activation=None)
    keras: Any = tf_keras
    if options.keras == 3:
        import keras

        plain = converted(plain)
    models = {"plain": compiled(keras, plain)}
    for granularity in ("channel", "column"):
        schedule = spp.SPPSchedule(A=0.01, frequency=options.frequency)  # busy all the time
        pruned = spp.prune(
            plain, target_speedup=2.0, granularity=granularity, round_to=1, schedule=schedule
        )
        spp.Pruner(compiled(keras, pruned)).plan(steps=10**6)
        models[granularity] = pruned

    random = np.random.default_rng(0)
    x = random.normal(size=(options.batch, *plain.input_shape[1:])).astype("float32")
    y = random.integers(0, plain.output_shape[-1], options.batch)
    clocks = {"clock": time.perf_counter, "processors": time.process_time}
    seconds: dict[str, dict[str, list[float]]] = {
        clock: {name: [] for name in models} for clock in clocks
    }
    for pair in range(options.pairs + 3):
        for name in sorted(models, reverse=bool(pair % 2)):
            start = {clock: read() for clock, read in clocks.items()}
            models[name].train_on_batch(x, y)
            for clock, read in clocks.items():
                seconds[clock][name].append(read() - start[clock])
    print(
        f"{plain.name}, {plain.input_shape[1]} px, batch {options.batch}, {options.pairs} pairs, "
        f"update every {options.frequency} steps, load {os.getloadavg()[0]:.1f}"
    )
    for clock, name in itertools.product(clocks, models):
        times, others = (seconds[clock][each][3:] for each in (name, "plain"))  # traced, warm
        ratios = sorted(a / b for a, b in zip(times, others, strict=True))
        print(
            f"{clock:10} {name:8} {1e3 * statistics.median(times):8.1f} ms/step (median)"
            f"   {statistics.median(ratios):.3f}x plain (median of pairs; half of them within "
            f"{ratios[len(ratios) // 4]:.3f} and {ratios[3 * len(ratios) // 4]:.3f})"
        )


if __name__ == "__main__":
    main()
