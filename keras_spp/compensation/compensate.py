"""`spp.compensate`: what remains of a pruned network gives what the whole one gave."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.compensation.kept import Kept
from keras_spp.compensation.kernels import kernel_of
from keras_spp.compensation.layer import Pair
from keras_spp.compensation.positions import ROWS
from keras_spp.compensation.report import Compensation, LayerLoss
from keras_spp.compensation.samples import gathered
from keras_spp.compensation.wanted import Recorded
from keras_spp.core.kinds import is_a
from keras_spp.frameworks.interface import Adapter, Model
from keras_spp.util import progress
from keras_spp.util.checks import check_integer, check_number

_WITHOUT_PRODUCTS = ("Embedding", "LayerNormalization", "PReLU")
_RECURRENT = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional")


def compensate(
    model: Model,
    original: Model,
    representative_data: Any,
    samples: int = 1024,
    *,
    ridge: float | None = None,
    residual: bool = True,
    rows: int = ROWS,
    seed: int = 0,
    verbose: int = 0,
    return_report: bool = False,
) -> Any:
    """Solves for the weights with which a pruned network gives what the whole one gave.

    Both networks see the same samples, layer by layer. Each layer that lost inputs gets the
    weights of least square error for what the original's layer gave, computed from what really
    arrives, so that errors of earlier layers are made up for too. That takes no labels and no
    training; see He, Zhang and Sun, "Channel pruning for accelerating very deep neural networks"
    (2017), section 3.1, for the idea. A bias, or the mean of the normalisation behind the layer,
    takes the intercept; normalisations behind such layers become the original's.

    Solved for are the kernels of dense, ordinary, grouped, depthwise, transposed and separable
    (the pointwise kernel) layers, in TimeDistributed and nested models too. Others are left as
    they are. Channels and columns that are pruned stay so. If the model is compiled, what its
    optimizer keeps of the weights that change is reset. Beside the samples, what is held of all
    feature maps takes at most 2 GiB; what would take more is computed again.

    Args:
        model: What `spp.shrink` returned, not saved since, or what `spp.prune` returned, when all
            its groups are decided. Its kernels, biases and batch normalisations change in place.
        original: The model that `spp.prune` was given. It is not modified.
        representative_data: What the models take: batches, as for `fit` if they hold targets too,
            one array of samples, or a function without arguments that returns such data. Samples
            as they will come later serve better than augmented ones.
        samples: How many of them to use, at most; some hundred do.
        ridge: How strongly the old weights hold on to what they were, relative to the mean square
            of an input, above 0; None: of a few strengths, for each layer, the one that does best
            on a quarter of the samples that is held out.
        residual: Whether the last layer before an addition makes up for what the other inputs of
            the addition have lost.
        rows: At how many positions of feature maps to look, about, in all samples together.
        seed: Decides at which positions feature maps are looked at.
        verbose: 0 shows nothing, 1 a progress bar.
        return_report: Whether to return what became of each layer, too.

    Returns:
        The same model; with `return_report` the model and a report, a sequence of rows that says
        what share of the variance of each layer's outputs was lost before and after, and which
        layers were left alone and why.

    Raises:
        TypeError: If a model is of neither Keras, or `representative_data` no data.
        ValueError: If the models do not belong together, `model` is not decided, or there are
            fewer than 16 samples, or samples that are all alike or not finite. The model is then
            as it was.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(
        ...     model, pruning_ratio=0.5, round_to=1, schedule=spp.OneShotSchedule())
        >>> pruned.compile("sgd", "mse")
        >>> _ = pruned.fit(images, np.zeros((64, 4)), epochs=5, callbacks=[spp.SPPCallback()],
        ...                verbose=0)
        >>> small, report = compensate(spp.shrink(pruned), model, images, return_report=True)
        >>> bool(report[1].after < report[1].before)
        True
    """
    framework = frameworks.of(model)
    framework.check(original, "original")
    check_integer("samples", samples, 1)
    check_integer("rows", rows, 1)
    check_integer("seed", seed, 0)
    check_integer("verbose", verbose, 0)
    if ridge is not None:
        check_number("ridge", ridge, np.finfo(float).tiny, 1e12, "None or a number in (0, 1e12]")
    masks = _masks(framework, model)
    original = framework.opened(original)
    batches = gathered(framework, model, representative_data, int(samples))
    report = compensated(
        model,
        original,
        batches,
        masks,
        ridge=ridge,
        residual=residual,
        rows=rows,
        seed=seed,
        verbose=verbose,
    )
    return (model, report) if return_report else model


def compensated(
    model: Model,
    original: Model,
    batches: list[Any],
    masks: dict[int, np.ndarray] | None = None,
    *,
    ridge: float | None = None,
    residual: bool = True,
    rows: int = ROWS,
    seed: int = 0,
    verbose: int = 0,
    recorded: Recorded | None = None,
) -> Compensation:
    """Does what `compensate` does, with samples that are gathered already, in these batches.

    Args:
        model: As for `compensate`.
        original: The opened original.
        batches: What passes through the networks together.
        masks: What kernels are multiplied with, by their ids.
        ridge: As for `compensate`.
        residual: As for `compensate`.
        rows: As for `compensate`.
        seed: As for `compensate`.
        verbose: As for `compensate`.
        recorded: What other plans have found out about the original with these samples, positions
            and seed.
    """
    framework, masks = frameworks.of(model), masks or {}
    kept = Kept(framework, model, original)
    random = np.random.default_rng(seed)
    remembered = Recorded(most=0) if recorded is None else recorded

    def pair(lockstep: Any, calls: list[int]) -> Pair | None:
        """Returns the layer of these calls and the original's, if it can be solved for."""
        kernel = kernel_of(lockstep.steps[calls[0]].core)
        of_original = kernel_of(lockstep.original_steps[calls[0]].core)
        if kernel is None or of_original is None or framework.is_frozen(kernel.layer):
            return None
        return Pair(
            framework,
            lockstep,
            calls,
            (kernel, of_original),
            keep=kept.outputs(kernel),
            mask=masks.get(id(kernel.variable)),
            ridge=ridge,
            residual=residual,
            rows=rows,
            random=random,
            recorded=remembered,
        )

    with _all_or_nothing(framework, model):
        lockstep = framework.Lockstep(model, original, batches, alone=remembered.complete)
        solved = tuple(_solved(framework, lockstep, pair, verbose))
    remembered.close()
    return Compensation(model.name, lockstep.samples, solved)


def _solved(
    framework: Adapter, lockstep: Any, pair: Callable[[Any, list[int]], Pair | None], verbose: int
) -> Iterator[LayerLoss]:
    """Solves for one layer after the other, in the order of their first calls."""
    calls: dict[Any, list[int]] = {}
    for at, step in enumerate(lockstep.steps):
        if any(len(weight.shape) > 1 for weight in step.weights):
            calls.setdefault(step.core, []).append(at)
    with progress.work("compensate", len(calls), verbose) as solving:
        for layer, own in calls.items():
            solvable = pair(lockstep, own)
            if solvable is not None:
                watches = solvable.watches()
                lockstep.advance(own[0], {own[0]: watches.pop(own[0])})
                if watches:  # later calls see what the layer's old weights make until then
                    lockstep.run(max(watches), watches)
                yield solvable.solve()
            elif reason := _reason(framework, layer):
                yield LayerLoss(layer.name, reason=reason)
            solving.advance()


def _reason(framework: Adapter, layer: Any) -> str | None:
    """Returns why a layer with weights is left alone; None if it multiplies its inputs by none."""
    if is_a(layer, *_WITHOUT_PRODUCTS):
        return None
    if framework.is_frozen(layer):
        return "not trainable"
    if is_a(layer, *_RECURRENT):
        return "recurrent: what arrives depends on its own outputs"
    return f"no kernel that is multiplied at every position ({type(layer).__name__})"


def _masks(framework: Adapter, model: Model) -> dict[int, np.ndarray]:
    """Returns what the kernels of a pruned model are multiplied with, by their ids.

    Raises:
        ValueError: If groups are not decided, or the model is wrapped by others.
    """
    stage = framework.stage(model)
    masks = framework.keep_probabilities(model)
    if stage is not None and not masks:
        raise ValueError(
            f"`model` {model.name!r} is {stage.state} (layer {stage.layer!r}): compensate before."
        )
    open_groups = sum(int(((mask > 0) & (mask < 1)).sum()) for mask in masks.values())
    if open_groups:
        raise ValueError(
            f"`model` {model.name!r} is still being pruned ({open_groups} weights have a keep "
            f"probability between 0 and 1): train until pruning has ended, or give what spp.shrink "
            f"returns."
        )
    return masks


@contextlib.contextmanager
def _all_or_nothing(framework: Adapter, model: Model) -> Iterator[None]:
    """Gives a model its weights back if anything fails."""
    before = [(variable, framework.read(variable)) for variable in model.variables]
    try:
        yield
        _forget(framework, model, before)
    except BaseException as error:
        for variable, value in before:
            framework.write(variable, value)
        if isinstance(error, FloatingPointError):
            raise ValueError(
                f"`representative_data` gives NaN or infinity in layer {str(error)!r}: give other "
                f"samples, or load a sound model."
            ) from error
        raise


def _forget(framework: Adapter, model: Model, before: list[tuple[Any, np.ndarray]]) -> None:
    """Resets what a model's optimizer keeps of the weights that have changed: it was of others."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return
    if not framework.optimizers.is_known(optimizer):
        warnings.warn(
            f"compensate: the {type(optimizer).__name__} of `model` {model.name!r} keeps what it "
            f"has of the weights before: compile with an optimizer of keras.optimizers.",
            stacklevel=6,
        )
        return
    changed = [
        variable
        for variable, value in before
        if not np.array_equal(framework.read(variable), value, equal_nan=True)
    ]
    framework.optimizers.forget(model, changed)
