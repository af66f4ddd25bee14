"""What pruning wrappers of both Keras have in common: config, state, and who drives them."""

from __future__ import annotations

from typing import Any, Protocol

from keras_spp.core import scores


class Driver(Protocol):
    """Moves the probabilities of a model's wrappers: a `keras_spp.training.pruner.Pruner`.

    Attributes:
        planned: Whether it is known how often an update is due.
        moves: Whether it has been asked to move the probabilities in a training step.
    """

    planned: bool
    moves: bool

    @property
    def optimizer(self) -> Any:
        """The optimizer whose steps count; None if there is none."""

    def counts_steps(self) -> bool:
        """Tells whether there is an optimizer whose steps count."""

    def clock(self) -> Any:
        """Tells the training step, a scalar integer; valid inside a step too."""

    def move(self) -> None:
        """Moves all probabilities if an update is due."""


class PruningWrapper:
    """The part of a wrapper class that knows no framework; see `PruneSPP` of an adapter.

    Attributes:
        sets: The sets of groups that the layer reads: dicts with name, size, goal and seed.
        conductor: Whether this is the first wrapper of the model.
        target_speedup: On the conductor, the speedup in MACs at which pruning ends.
        counted: Whose MACs count, see `spp.prune`.
        input_sizes: On the conductor, the sizes of the model's inputs at which they count.
        origin: On the conductor, what the metadata of an exported file say of the first model.
    """

    pruning_schedule: Any
    sets: list[dict[str, Any]]
    masked: list[Any]
    input_sizes: list[list[int]] | None
    origin: dict[str, Any] | None
    p: Any
    mask: Any
    _driver: Driver | None
    _shown_by: Any

    def remember(
        self,
        sets: Any,
        conductor: bool,
        target_speedup: float | None,
        counted: str,
        input_sizes: list[list[int]] | None,
        origin: dict[str, Any] | None,
    ) -> None:
        """Keeps arguments of the constructor."""
        self.conductor = conductor
        self.target_speedup = target_speedup
        self.counted = counted
        # Past Keras, which would wrap lists and dicts, to track what is in them.
        entries = [dict(entry) for entry in sets]
        self.__dict__.update(sets=entries, input_sizes=input_sizes, origin=origin)
        self.__dict__.update(_driver=None, _shown_by=None)

    @property
    def size(self) -> int:
        """The number of its groups."""
        return sum(entry["size"] for entry in self.sets)

    @property
    def of_score(self) -> scores.Score:
        """The score that ranks its groups."""
        return scores.get(self.pruning_schedule.score)

    @property
    def driver(self) -> Driver | None:
        """What moves the probabilities in training steps; None if nothing does yet."""
        return self._driver

    def attach(self, driver: Driver) -> None:
        """Lets a driver, which knows all wrappers, move the probabilities from now on."""
        self.__dict__.update(_driver=driver)

    @property
    def shown_by(self) -> Any:
        """On the conductor: the callback that shows the present `fit`."""
        return self._shown_by

    def show_by(self, callback: Any) -> None:
        """Notes on the conductor which callback shows the present `fit`; the last one does."""
        self.__dict__.update(_shown_by=callback)

    def multiply(self, groups: Any) -> list[Any]:
        """Multiplies the weights of each group with its value, for good."""
        return [entry.multiply(groups) for entry in self.masked]

    def zero_pruned(self) -> list[Any]:
        """Zeroes what is pruned for good. Never what a mask merely dropped in one step."""
        return self.multiply(self.mask)

    def expected(self) -> Any:
        """Returns the keep probabilities 1 - p, the expected network's mask, shape (groups,)."""
        return 1 - self.p

    def own_config(self) -> dict[str, Any]:
        """Returns what a wrapper needs beside its layer to go on alone after loading."""
        return {
            "pruning_schedule": self.pruning_schedule.get_config(),
            "sets": [dict(entry) for entry in self.sets],
            "weights": [entry.config() for entry in self.masked],
            "conductor": self.conductor,
            "target_speedup": self.target_speedup,
            "counted": self.counted,
            "input_sizes": self.input_sizes,
            "origin": self.origin,
        }


def check_schedule(schedule: Any) -> None:
    """Raises ValueError for what Keras makes of a class that it does not know."""
    if isinstance(schedule, str):
        raise ValueError(
            f"`pruning_schedule` of the saved model is a {schedule!r}, which Keras "
            f"does not know: decorate the class with "
            f"keras.saving.register_keras_serializable() and import it before loading."
        )
