"""What happens around a training step: probabilities move before it, zeros are put after it.

Inside of it nothing could: on JAX a forward pass cannot assign, read the optimizer or branch.
Around `train_step` all of that works on every backend, compiled, for each step of an execution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_spp.core import namespace
from keras_spp.frameworks.keras3 import arrays, private
from keras_spp.frameworks.keras3.distribution import require_copies
from keras_spp.frameworks.keras3.optimizer_state import inner
from keras_spp.frameworks.keras3.variables import without_gradients

ops = keras.ops


def attach(model: Any, wrappers: Sequence[Any], pruner: Any) -> None:
    """Lets a pruner move the probabilities in the training steps of a model, from now on.

    Args:
        model: The model.
        wrappers: Its wrappers.
        pruner: What moves them.

    Raises:
        ValueError: If the model is trained on several devices, or in the NNX mode of JAX.
    """
    require_copies(model)
    (conductor,) = (wrapper for wrapper in wrappers if wrapper.conductor)
    before = conductor.driver
    if pruner.counts_steps() or before is None or not before.counts_steps():
        for wrapper in wrappers:  # who only looks does not take over from who trains
            wrapper.attach(pruner)
    hooked = getattr(model.train_step, "prunes", False)
    if not hooked:
        model.train_step = _hooked(model, conductor)
    if not hooked or before is None or not before.planned:
        # One that was made before this has failed, or prunes nothing; Keras would go on with it.
        model.train_function = None


def _hooked(model: Any, conductor: Any) -> Callable[..., Any]:
    """Returns the model's training step with what comes before and after."""
    step = model.train_step

    def train_step(*arguments: Any) -> Any:
        pruner = conductor.driver
        _check_optimizer(pruner, model.optimizer, conductor.gathers)
        if keras.backend.backend() != "jax":
            pruner.begin_step()
            logs = step(*arguments)
            pruner.end_step()
            return logs
        state, data = arguments
        state = (*pruner.stateless_begin_step(*state[:3]), *state[3:])
        logs, state = step(state, data)
        return logs, (*pruner.stateless_end_step(*state[:3]), *state[3:])

    hooked = private.not_converted(train_step)
    hooked.prunes = True
    return hooked


def _check_optimizer(pruner: Any, optimizer: Any, gathers: bool) -> None:
    """Raises ValueError if `fit` cannot prune with an optimizer."""
    if pruner.optimizer is not optimizer:
        raise ValueError(
            "`optimizer` of spp.Pruner must be the one that the model is compiled with for "
            "`fit`: give none."
        )
    averages = getattr(inner(optimizer), "use_ema", False)
    if averages and gathers and keras.backend.backend() == "tensorflow":
        # Keras then looks for an average of what the score is gathered in, and fails at the end.
        raise ValueError(
            '`score` must not be "taylor" for an optimizer that averages weights (use_ema=True) '
            "on TensorFlow: choose another score, or average without the optimizer."
        )


def variables(model: Any, optimizer: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Returns trainable and other variables of a model, and the optimizer's, in Keras' order."""
    of_optimizer = [] if optimizer is None else list(optimizer.variables)
    return list(model.trainable_variables), list(model.non_trainable_variables), of_optimizer


def stateless(
    pruner: Any, change: Callable[[], Any], state: Sequence[Sequence[Any]]
) -> tuple[list[Any], ...]:
    """Changes a model's variables as values only; returns the new values.

    Args:
        pruner: The pruner of the model.
        change: Assigns to the variables.
        state: Their values, in lists as `variables` returns them.
    """
    return _stateless(change, variables(pruner.model, pruner.optimizer), state)


def _stateless(
    change: Callable[[], Any], own: Sequence[Sequence[Any]], state: Sequence[Sequence[Any]]
) -> tuple[list[Any], ...]:
    pairs = [
        pair
        for variables, values in zip(own, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(state_mapping=pairs) as scope:
        change()
    return tuple([scope.get_current_value(each) for each in variables] for variables in own)


def when(condition: Any, change: Callable[[], Any], pruner: Any) -> None:
    """Makes a change if a condition holds, which may be known only in a compiled step.

    Args:
        condition: A scalar boolean.
        change: Assigns to variables of the pruner's wrappers, and reads others of the model.
        pruner: The pruner.
    """
    match keras.backend.backend():
        case "torch" | "jax" if _is_known(condition):
            if bool(condition):
                change()
        case "jax":  # whose branches return values, and assign nothing
            own = [variable for wrapper in pruner.wrappers for variable in wrapper.variables]
            others = list(itertools.chain(*variables(pruner.model, pruner.optimizer)))

            def changed() -> list[Any]:
                return _stateless(change, [others, own], [_values(others), _values(own)])[1]

            values = ops.cond(condition, changed, lambda: _values(own))
            for variable, value in zip(own, values, strict=True):
                variable.assign(value)
        case _:
            ops.cond(condition, lambda: (change(), True)[1], lambda: False)


def _is_known(condition: Any) -> bool:
    """Tells whether a tensor has a value: JAX would compile a branch anew each time."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return not isinstance(condition, jax.core.Tracer)


def _values(own: Sequence[Any]) -> list[Any]:
    return [ops.convert_to_tensor(variable) for variable in own]


def begin_step(pruner: Any) -> None:
    """Moves the probabilities if an update is due, and draws the masks of a training step."""
    with without_gradients(), namespace.use(arrays):
        pruner.move()
        for wrapper in pruner.wrappers:
            wrapper.draw(pruner.conductor.pruning_step)


def end_step(pruner: Any) -> None:
    """Zeroes what is pruned, whatever the optimizer has made of it."""
    with without_gradients(), namespace.use(arrays):
        sampled = pruner.schedule.evaluation == "sampled"
        for wrapper in pruner.wrappers:
            wrapper.keep_gathered()
            wrapper.zero_pruned()
            if sampled:  # with the masks of the next step
                wrapper.draw(pruner.clock())
        if is_eager():  # so that a step that does not begin is noticed
            pruner.moves = False


def is_eager() -> bool:
    """Tells whether what is computed now is known now."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.executing_eagerly()
        case backend:
            return backend == "torch"


def is_chief(model: Any) -> bool:
    """Tells that this process writes what is to be written: it is the only one."""
    return True


def synced(model: Any) -> Any:
    """Returns the model, its variables holding what JAX keeps elsewhere during an epoch."""
    if keras.backend.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    return model
