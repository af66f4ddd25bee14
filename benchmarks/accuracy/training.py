"""One run of `python -m benchmarks.accuracy`: prunes as it says, trains, shrinks, evaluates."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

import keras_spp as spp
from benchmarks.accuracy import variants
from benchmarks.accuracy.silent import silent
from examples import images
from keras_spp.frameworks.tf_keras.loading import load_model
from keras_spp.frameworks.tf_keras.softmax import ends_in_softmax
from keras_spp.training.state import State
from keras_spp.util.files import atomic_path


def measure(
    run: dict[str, Any], model_path: Path, data_dir: str | None, keep: Path | None = None
) -> dict[str, Any]:
    """Trains as a run says; returns what came out."""
    keras.utils.set_random_seed(run["seed"])
    started = time.monotonic()
    dense = load_model(model_path, compile=False)
    train, test, steps = load(run, dense.input_shape[1:], data_dir)
    name, _, others = variants.read_method(run["method"])
    pruned = prune(run, dense, train) if name != "dense" else None
    model = in_precision(pruned or dense, run["precision"])
    if name in variants.PREPARE:
        model = variants.PREPARE[name](model)
    weight = others["distill"]
    teacher = in_precision(dense, run["precision"]) if weight else None

    def fit(model: keras.Model, optimizer: Any, **more: Any) -> tuple[keras.Model, dict[str, list]]:
        trained = spp.distill(model, teacher, weight=weight) if weight else model
        trained.compile(optimizer, loss(dense), metrics=["accuracy"])
        history = trained.fit(
            train,
            steps_per_epoch=steps,
            epochs=run["epochs"],
            validation_data=test,
            verbose=0,
            **more,
        ).history
        return trained, history

    followed = Trajectories()
    callbacks: list[Any] = [spp_callback(run, dense, data_dir), followed] if pruned else []
    if pruned and run["granularity"] == "channel":  # columns stay, and would be trained again
        callbacks.append(StopWhenPruned())
    rate = keras.optimizers.schedules.CosineDecay(run["learning_rate"], steps * run["epochs"])
    optimizer = keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, global_clipnorm=others["clip_norm"]
    )
    trained, history = fit(model, optimizer, callbacks=callbacks)
    counts: dict[str, Any] = {"macs_speedup": 1.0}
    if pruned:
        progress, model = spp.Pruner(model).progress(), spp.shrink(model)
        counts = count(dense, model, progress) | followed.counts()
        if (done := len(history["loss"])) < run["epochs"]:
            _, rest = fit(model, spp.sliced_optimizer(trained, model), initial_epoch=done)
            history = {name: history[name] + values for name, values in rest.items()}
    model = in_precision(model, "float32")
    if keep is not None:
        with atomic_path(keep / file_name(run)) as temporary:
            model.save(temporary)
    return {
        **counts,
        **evaluate(model, test),
        "silent": silent(model, test),
        "history": {name: [round(v, 5) for v in values] for name, values in history.items()},
        "seconds": round(time.monotonic() - started),
    }


def prune(run: dict[str, Any], dense: keras.Model, train: Any) -> keras.Model:
    """Wraps the dense network as a run says."""
    name, arguments, others = variants.read_method(run["method"])
    return spp.prune(
        dense,
        target_speedup=run["speedup"],
        granularity=run["granularity"],
        schedule=variants.SCHEDULES[name](**arguments),
        allocation=variants.ALLOCATIONS[others["allocation"]](),
        round_to=run["round_to"],
        seed=run["seed"],
        representative_data=train.take(20),
    )


def spp_callback(run: dict[str, Any], dense: keras.Model, data_dir: str | None) -> spp.SPPCallback:
    """Prunes, and compensates with training images as they are if the run says so."""
    samples = variants.read_method(run["method"])[2]["compensated"]
    if not samples:
        return spp.SPPCallback()
    x = images.some(
        images.find(run["dataset"], data_dir),
        run["train_split"],
        dense.input_shape[1:],
        samples,
        normalize=images.NORMALIZATIONS[run["input"]],
    )
    return spp.SPPCallback(original=dense, representative_data=x, samples=samples)


class StopWhenPruned(keras.callbacks.Callback):
    """Ends `fit` with the epoch in which pruning ends: the small model trains on, and faster."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs and logs["groups_decided"] == 1:
            self.model.stop_training = True


class Trajectories(keras.callbacks.Callback):
    """Counts groups that rose above a pruning probability of 0.5, and those that came back."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._state = State(self.model)
        self._seen, self._p = 0, self._state.values()
        self._risen = self._fallen = self._p > 0.5

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._look()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._look()

    def _look(self) -> None:
        if self._state.updates == self._seen:
            return
        self._seen, self._p = self._state.updates, self._state.values()
        sets = self._state.sets
        done = np.bincount(sets.of_group, self._p >= 1, len(sets.goal)) >= sets.goal
        goes_on = ~done[sets.of_group]  # elsewhere survivors have 0 wherever they stood
        self._fallen = self._fallen | (self._risen & goes_on & (self._p < 0.5))
        self._risen = self._risen | (self._p > 0.5)

    def counts(self) -> dict[str, int]:
        """How many rose, how many of them fell below 0.5 before the end, and how many survived."""
        found = {
            "risen": self._risen,
            "fallen": self._fallen,
            "survived": self._risen & (self._p < 1),
        }
        return {name: int(groups.sum()) for name, groups in found.items()}


def load(run: dict[str, Any], shape: tuple, data_dir: str | None) -> tuple[Any, Any, int]:
    """Batches to train on, batches to test on, and how many of the first make an epoch."""
    builder = images.find(run["dataset"], data_dir)
    normalize = images.NORMALIZATIONS[run["input"]]
    train = images.batches(
        builder,
        run["train_split"],
        shape,
        run["batch_size"],
        augmentation=run["augmentation"],
        normalize=normalize,
        seed=run["seed"],
    )
    test = images.batches(builder, run["test_split"], shape, 500, normalize=normalize)
    return train, test, len(builder.as_dataset(split=run["train_split"])) // run["batch_size"]


def count(dense: keras.Model, small: keras.Model, progress: spp.Progress) -> dict[str, Any]:
    """What is left of the dense network, and whether the target was met."""
    rebuilt = spp.analyze(small)
    return {
        "macs_speedup": progress.macs_speedup,
        "rebuilt_speedup": spp.analyze(dense).macs / rebuilt.macs,  # pruned columns stay as zeros
        "params": rebuilt.params,
        "updates": progress.updates,
        "finished": progress.finished,
    }


def evaluate(model: keras.Model, test: Any) -> dict[str, Any]:
    """Top-1 of all images, and of each half of them."""
    labels = np.concatenate([y for _, y in test])
    outputs = model.predict(test, verbose=0)
    correct = outputs.argmax(-1) == labels
    halves = [float(half.mean()) for half in np.array_split(correct, 2)]
    return {"top1": float(correct.mean()), "top1_halves": halves}


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """The model with the same weights, computing in another precision up to its outputs."""
    config = model.get_config()
    ends = {name for name, *_ in config.get("output_layers", ())} or {
        config["layers"][-1]["config"]["name"]
    }
    for layer in config["layers"]:
        name = layer["config"]["name"]
        if layer["class_name"] != "InputLayer":
            set_policy(layer["config"], "float32" if name in ends else policy)
    result = type(model).from_config(config)
    result.set_weights(model.get_weights())
    return result


def set_policy(config: dict[str, Any], policy: str) -> None:
    """In a layer's config and those of the layers in it."""
    config["dtype"] = policy
    for value in config.values():
        if isinstance(value, dict) and "dtype" in (inner := value.get("config") or {}):
            set_policy(inner, policy)


def loss(model: keras.Model) -> keras.losses.Loss:
    """Cross entropy, of logits unless the model ends in a softmax."""
    logits = not ends_in_softmax(model.outputs[0])
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def file_name(run: dict[str, Any]) -> str:
    """A name of its own for what comes out of a run.

    >>> file_name({"method": "spp(A=0.1)", "speedup": 2.0, "seed": 0})
    'spp_A_0_1_-2_0-0.keras'
    """
    parts = (run.get(key) for key in ("method", "granularity", "speedup", "epochs", "seed"))
    return "-".join(re.sub(r"\W", "_", str(part)) for part in parts if part is not None) + ".keras"
