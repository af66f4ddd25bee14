"""A trained network pruned on CIFAR-10: by a laptop, or by a cluster, with the same command.

    python -m examples.cluster_cifar10 --data-dir DIR --model convnet.keras

Without TF_CONFIG in the environment it takes all GPUs of this machine, or the processor. With it,
as a job manager sets it on every machine, they train together. Data, model and --output then lie
in folders that all of them see. --batch-size is that of all together. A run that was interrupted
goes on from the last epoch when the command is started again, on every machine.
"""

from __future__ import annotations

import dataclasses
import os
import sys

from examples import convnet_cifar10, demo, recipe

# isort: split
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp

# `python -m examples.convnet_cifar10` leaves such a model as runs/convnet_cifar10/dense.keras.
RECIPE = dataclasses.replace(convnet_cifar10.RECIPE, description=__doc__, needs_model=True)


def find_strategy() -> tf.distribute.Strategy:
    """Has to come before TensorFlow computes anything."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy()


def sharded(data: tf.data.Dataset) -> tf.data.Dataset:
    """Every machine reads all images and takes its part of each batch, however they are stored."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def main(arguments: list[str] | None = None) -> None:
    args = recipe.parse(RECIPE, arguments)
    strategy = find_strategy()
    keras.utils.set_random_seed(args.seed)
    with strategy.scope():
        try:
            builder, classes = recipe.find_data(RECIPE, args)
            dense, trained = recipe.open_model(RECIPE, args, classes)
            if not trained:
                raise ValueError(f"--model must have {classes} classes, as the data.")
            data = recipe.open_data(RECIPE, args, builder, dense)
            pruned = recipe.prune(dense, args, data.train)
        except (ValueError, OSError) as error:
            sys.exit(str(error))
        data = data._replace(train=sharded(data.train), test=sharded(data.test))
        callbacks = (
            spp.SPPCallback(args.output / "logs"),
            spp.BackupAndRestore(args.output / "backup"),
        )
        demo.train(pruned, data, args.learning_rate, *callbacks, weight_decay=RECIPE.weight_decay)
        # All machines do this too: each has a part of the images, and statistics of its own.
        _, accuracy = pruned.evaluate(data.test, verbose=0)
    small = spp.shrink(pruned)
    speedup = spp.analyze(dense).macs / spp.analyze(small).macs
    if strategy.extended.should_checkpoint:  # the chief, or the only one
        small.save(args.output / "small.keras")
        print(spp.export_tflite(small, args.output / "small.tflite"))
        replicas = strategy.num_replicas_in_sync
        print(f"{accuracy:.2%} of the test images, {speedup:.2f}x fewer MACs, {replicas} replicas.")


if __name__ == "__main__":
    main()
