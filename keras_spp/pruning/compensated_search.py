"""A search for plans that are judged as they will be used: pruned at once and compensated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.search import Search
from keras_spp.allocation.sensitivity import change
from keras_spp.compensation.compensate import compensate
from keras_spp.compensation.samples import FEWEST
from keras_spp.core.goals import Allocation
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.data import count
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.network import Network
from keras_spp.pruning.one_shot import pruned_at_once

# MACs of the model as it is, for the samples of one quick plan, and for those of all plans that are
# carried out: some minutes for the largest networks for phones.
QUICK, CARRIED_OUT = 1e11, 3e12
SAMPLES = 16, 256  # of a quick plan: the fewest, the most
PLANS = 6, 30  # that are carried out: fewer are not worth it, more take too long
TRIALS = 48  # quick plans before that
ROWS = 12_000  # positions of the feature maps that such a plan looks at
BATCHES = 4, 8  # of samples to compensate with, and to judge by


def sized(
    network: Network, scores: Mapping[str, np.ndarray], batches: list[Any], verbose: int
) -> Search:
    """Returns a search that takes fewer samples and plans where each one takes longer.

    Args:
        network: The labelled model.
        scores: Which groups of a set go first, by its name.
        batches: Samples.
        verbose: Whether it shows its progress.
    """
    macs = max(network.groups.dense(), 1)
    options: dict[str, Any] = {"samples": int(np.clip(QUICK / macs, *SAMPLES)), "verbose": verbose}
    first = min(BATCHES[0], len(batches) // 2)
    used, judged = batches[:first], batches[first:][: BATCHES[1]]
    plans = int(min(CARRIED_OUT / (macs * max(count(used + judged), 1)), PLANS[1]))
    if plans < PLANS[0] or count(used) < FEWEST:
        return Search(**options)
    outcome = Outcome(network, scores, used, judged)
    return CompensatedSearch(outcome, plans, trials=TRIALS, **options)


class CompensatedSearch(Search):
    """Searches as `spp.Search` does, and goes on from there with compensated networks.

    What `spp.Search` measures is quick but not quite what counts here: plans that it likes better
    can end with less accuracy when the weights are solved for. So its plan is where a second, short
    search begins, in which every plan is carried out.

    Args:
        outcome: Carries a plan out and says what is lost.
        plans: How many plans to carry out, at most.
        **options: Those of the quick search.
    """

    def __init__(self, outcome: Outcome, plans: int, **options: Any) -> None:
        super().__init__(**options)
        self._outcome, self._plans = outcome, plans

    def search(self, meet: Callable[[Allocation], Goals]) -> None:
        """Finds the plan; see `Search.search`."""
        super().search(meet)
        self._measure, self._starts = self._outcome, [self._found]
        quick, self.trials = self.trials, self._plans
        super().search(meet)
        self.trials = quick


class Outcome:
    """What goals do to the outputs when they are carried out and compensated.

    Args:
        network: The labelled model.
        scores: Which groups of a set go first, by its name.
        used: Batches of samples to compensate with.
        judged: Other batches, which say what is lost.
    """

    def __init__(
        self,
        network: Network,
        scores: Mapping[str, np.ndarray],
        used: list[Any],
        judged: list[Any],
    ) -> None:
        self.groups: Groups = network.groups
        self._network, self._scores, self._used, self._judged = network, scores, used, judged
        self._outputs = self._of(network.model)

    def __call__(self, goals: Goals) -> float:
        """Returns the change of the outputs, relative to their variance."""
        small = pruned_at_once(self._network, goals, self._scores)
        compensate(small, self._network.model, self._used, rows=ROWS)
        pairs = zip(self._outputs, self._of(small), strict=True)
        return float(np.mean([change(*pair) for pair in pairs]))

    def _of(self, model: Model) -> list[list[np.ndarray]]:
        framework = frameworks.of(model)
        infer = framework.inference(model)
        return [infer(framework.flatten(batch)) for batch in self._judged]
