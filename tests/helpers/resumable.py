"""A training run that is killed somewhere and can be started again.

`python -m tests.helpers.resumable` prints where it starts, and ends with an archive of everything
that the training has changed.
"""

import argparse
import itertools
import os
import signal
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.helpers.killed import kill_in_the_next_write
from tests.helpers.training import conv_net, data, plain_net, state

STEPS, EPOCHS, BATCH = 25, 5, 4

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, STEPS * EPOCHS)
    ),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01),
}


def dense_model(options):
    keras.utils.set_random_seed(0)
    return conv_net() if options.way != "loop" else plain_net()


def pruned_model(options):
    """About 12 updates, at a frequency that SPPCallback chooses: pruning, then fine-tuning."""
    if options.granularity == "column":
        schedule = spp.SPPSchedule(A=0.5, frequency=2)
        target = {"target_speedup": 1.5}  # which ends pruning before the goals are met
    else:
        schedule = spp.SPPSchedule(A=0.5, score=options.score, score_decay=0.5)
        target = {"pruning_ratio": 0.5}
    return spp.prune(
        dense_model(options),
        granularity=options.granularity,
        schedule=schedule,
        round_to=1,
        representative_data=data(STEPS, BATCH)[0],
        **target,
    )


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Ends the process without warning when its moment has come."""

    def __init__(self, moment, pruner):
        self.moment, self.pruner, self.past = moment, pruner, None

    def look(self):
        """Called after each training step."""
        event, _, how = self.moment.partition("/")
        if event == "never":
            return
        if event == "group":
            now = (self.pruner.probabilities().numpy() >= 1).any()
        elif event == "finished":
            now = self.pruner.missing() == 0
        else:
            now = int(self.pruner.clock()) >= int(event)
        if now and self.past is False:  # and not before this process was started
            (kill_in_the_next_write if how == "writing" else kill)()
        self.past = bool(now)


def batches(optimizer):
    """The batch of a step is a function of the step, so any run may begin anywhere."""
    x, y = data(STEPS, BATCH)
    # Read once, when the model has been restored: tf.data asks for batches ahead of the steps.
    for step in itertools.count(int(optimizer.iterations)):
        epoch, place = divmod(step, STEPS)
        order = np.random.default_rng(epoch).permutation(len(x))[place * BATCH :][:BATCH]
        yield x[order], y[order]


def run_fit(options, folder):
    path = folder / "model.keras"
    if options.way == "file" and path.exists():
        model = spp.load_model(path)
    else:
        model = pruned_model(options)
        model.compile(OPTIMIZERS[options.optimizer](), "mse")
    freq = int(options.save_freq) if options.save_freq.isdigit() else options.save_freq
    writer = {
        "keras": lambda: keras.callbacks.BackupAndRestore(folder / "backup", save_freq=freq),
        "backup": lambda: spp.BackupAndRestore(folder / "backup", save_freq=freq),
        "file": lambda: spp.ModelCheckpoint(path),
    }[options.way]()
    killer = Killer(options.kill, spp.Pruner(model))
    each_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: killer.look())
    dataset = tf.data.Dataset.from_generator(
        lambda: batches(model.optimizer),
        output_signature=(tf.TensorSpec((BATCH, 6, 6, 3)), tf.TensorSpec((BATCH, 4))),
    )
    by_data = {"original": dense_model(options), "representative_data": data(STEPS, BATCH)[0]}
    callbacks = [spp.SPPCallback(**by_data if options.compensate else {}), each_step, writer]
    model.fit(
        dataset,
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        initial_epoch=int(model.optimizer.iterations) // STEPS,
        callbacks=callbacks[:: -1 if options.reverse else 1],
        verbose=0,
    )
    return model


def run_loop(options, folder):
    """A training loop of one's own with tf.train.Checkpoint."""
    model, optimizer = pruned_model(options), OPTIMIZERS[options.optimizer]()
    optimizer.build(model.trainable_variables)
    model.optimizer = optimizer  # for `state`
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoints"), max_to_keep=1)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint).assert_existing_objects_matched()
    pruner = spp.Pruner(model, optimizer)
    pruner.plan(STEPS * EPOCHS - int(optimizer.iterations))
    killer = Killer(options.kill, pruner)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for x, y in batches(optimizer):
        step(tf.constant(x), tf.constant(y))
        killer.look()
        if int(optimizer.iterations) % int(options.save_freq) == 0:
            manager.save()
        if int(optimizer.iterations) == STEPS * EPOCHS:
            return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=["keras", "backup", "file", "loop"], default="backup")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--granularity", default="channel")
    parser.add_argument("--score", default="l1")
    parser.add_argument("--save-freq", default="epoch")
    parser.add_argument("--kill", default="never", help="group, finished or a step, [/writing]")
    parser.add_argument("--compensate", action="store_true", help="when all groups are decided")
    parser.add_argument("--reverse", action="store_true", help="the callbacks' order")
    parser.add_argument("--beside", type=Path, help="then an undisturbed run in this folder")
    options = parser.parse_args()
    for folder in (options.folder, options.beside):
        if folder is not None:
            folder.mkdir(exist_ok=True)
            model = (run_loop if options.way == "loop" else run_fit)(options, folder)
            # By number, since tf_keras gives variables other names when it loads a model.
            values = {str(i): value for i, (_, value) in enumerate(state(model))}
            np.savez(folder / "state.npz", steps=model.optimizer.iterations.numpy(), **values)
            print(spp.Pruner(model, model.optimizer).progress())


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    main()
