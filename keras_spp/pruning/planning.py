"""What of a model is to go: a plan, which `spp.prune` and `spp.compress` make alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_spp.allocation.search import Search
from keras_spp.allocation.uniform import Uniform
from keras_spp.core.cost import COUNTED
from keras_spp.core.goals import Allocation
from keras_spp.core.groups import GRANULARITIES, Goals
from keras_spp.devices.device import Device
from keras_spp.frameworks.interface import Model
from keras_spp.pruning import targets
from keras_spp.pruning.network import Network, Scores, label
from keras_spp.util.checks import check_integer
from keras_spp.util.files import check_apart


@dataclass(frozen=True)
class Options:
    """What a plan is made by; the attributes are the arguments of `spp.prune`, checked.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is outside its range.
    """

    pruning_ratio: float | Mapping[str, float] | None
    target_speedup: float | None
    target_latency: float | str | None
    device: Device
    granularity: str
    policy: Any
    allocation: Allocation | None
    round_to: int
    seed: int
    counted: str
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None

    def __post_init__(self) -> None:
        self.target.check(self.granularity)
        if self.granularity not in GRANULARITIES:
            choices = " or ".join(map(repr, GRANULARITIES))
            raise ValueError(f"`granularity` must be {choices} but is {self.granularity!r}.")
        if self.counted not in COUNTED:
            raise ValueError(f'`counted` must be "all" or "convolutions" but is {self.counted!r}.')
        check_integer("round_to", self.round_to, 1)
        check_integer("seed", self.seed, 0)
        _check_methods("policy", self.policy, "allow_pruning", "ensure_model_supports_pruning")
        _check_methods("allocation", self.allocation, "prepare", "ratios")
        cache = getattr(self.allocation, "cache", None)
        check_apart("`allocation`'s cache", cache, self.device.files())

    @property
    def target(self) -> targets.Target:
        """The one target that is given."""
        return targets.one_of(
            self.pruning_ratio, self.target_speedup, self.target_latency, self.device
        )

    def network(self, model: Model, scores: Scores | None = None) -> Network:
        """Returns the model with what of it can be pruned.

        Args:
            model: The model.
            scores: By which scores groups will go; None where that is not known.
        """
        network = label(
            model,
            self.granularity,
            policy=self.policy,
            seed=self.seed,
            counted=self.counted,
            scores=scores,
            input_shape=self.input_shape,
        )
        network.check_prunable(self.round_to)
        return network

    def goals(self, network: Network, representative_data: Any) -> Goals:
        """Returns how many groups of each set are to go."""
        allocation, target = self.allocation, self.target
        if allocation is None:
            judged = target.in_macs and representative_data is not None
            allocation = Search() if judged else Uniform()
        return target.meet(network, allocation, representative_data, self.round_to)


def _check_methods(name: str, value: Any, *methods: str) -> None:
    if isinstance(value, type):
        raise TypeError(f"`{name}` must be an object but is the class: give {value.__name__}().")
    if value is not None and not all(callable(getattr(value, method, None)) for method in methods):
        raise TypeError(f"`{name}` must have the methods {' and '.join(methods)} but is {value!r}.")
