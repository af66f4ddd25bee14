"""A search for plans that are judged as they will be used: pruned at once and compensated."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.search import Search, Shares, with_care
from keras_spp.allocation.sensitivity import change
from keras_spp.compensation import compensate
from keras_spp.compensation.samples import CHUNK, FEWEST, gathered, parted
from keras_spp.compensation.wanted import Recorded
from keras_spp.core.divergence import divergence
from keras_spp.core.goals import Allocation
from keras_spp.core.groups import Goals, Groups
from keras_spp.frameworks.data import concatenated, count
from keras_spp.frameworks.interface import Model
from keras_spp.pruning.one_shot import pruned_at_once
from keras_spp.util import progress

# MACs of the model as it is, for the samples of one quick plan, and for those of all plans that are
# carried out: some minutes for the largest networks for phones.
QUICK, CARRIED_OUT = 1e11, 3e12
SAMPLES = 16, 256  # of a quick plan: the fewest, the most
PLANS = 6, 40  # that are carried out: fewer are not worth it, more take too long
TRIALS = 48, 128  # quick plans of each search before that, and where no plan is carried out
ORDERS = 2  # of those searches: what one of them finds is often far from the best
ROWS = 12_000  # positions of the feature maps that such a plan looks at
BATCHES = 4, 12  # of samples to compensate with, and to judge by
FINALISTS = 6  # plans that are carried out once more, with all samples
MOST, JUDGED = 32, 3  # batches of samples, of which every third judges what the others made
TOGETHER = 2e10  # MACs of samples that pass through a network together: many calls take longer
FIRST = 0.35  # step of the shares' logarithms: what quick plans have found is near by


class CompensatedSearch(Search):
    """Searches as `spp.Search` does, and goes on from there with compensated networks.

    What `spp.Search` measures is quick but not quite what counts here: plans that it likes better
    can end with less accuracy when the weights are solved for. So a second, short search carries
    every plan out; it begins from the best of what quick searches in different orders have found,
    and of the same share everywhere. It takes fewer samples and plans where each one takes longer.
    What is best by few samples is rated too well, so the best few plans are carried out once more,
    with all samples.

    Args:
        seed: Decides in which order sets take their turns.
        verbose: 0 shows nothing, 1 a progress bar.
    """

    def __init__(self, seed: int = 0, verbose: int = 1) -> None:
        super().__init__(seed=seed, verbose=verbose)
        self._outcome: Outcome | None = None
        self._samples: list[Any] = []
        self._plans = 0

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Remembers what the dense network makes of the samples."""
        macs = max(groups.dense(), 1)
        self.samples = int(np.clip(QUICK / macs, *SAMPLES))
        self._samples = gathered(frameworks.of(model), model, representative_data, CHUNK * MOST)
        batches = self._samples[: sum(BATCHES)]
        super().prepare(model, groups, batches)
        first = min(BATCHES[0], len(batches) // 2)
        used, judged = batches[:first], batches[first:][: BATCHES[1]]
        self._plans = int(min(CARRIED_OUT / (macs * max(count(used + judged), 1)), PLANS[1]))
        if self._plans >= PLANS[0] and count(used) >= FEWEST:
            self._outcome = Outcome(model, groups, used, judged, ROWS)
        else:
            self._samples = []
        self.trials = TRIALS[self._outcome is None]

    def search(self, meet: Callable[[Allocation], Goals]) -> None:
        """Finds the plan; see `Search.search`."""
        outcome = self._outcome
        if outcome is None:
            super().search(meet)
            return
        quick, starts, seed, trials = self._measure, self._starts, self.seed, self.trials
        found = starts[:1]
        # How many samples pass through networks is what takes time.
        quickly, carried_out, again = (
            trials * self.samples,
            self._plans * outcome.samples,
            FINALISTS * count(self._samples),
        )
        total = ORDERS * quickly + carried_out + again
        with progress.work("search", total, self.verbose) as search:
            for order in range(ORDERS):
                self._measure, self._starts, self.seed = quick, starts, seed * ORDERS + order
                with search.part(quickly):
                    super().search(meet)
                found.append(self._found)
            self._measure, self._starts, self.trials = outcome, found, self._plans
            first, self._first = self._first, FIRST
            with search.part(carried_out):
                super().search(meet)
            self.seed, self.trials, self._first, self._outcome = seed, trials, first, None
            with search.part(again):
                self._decide(outcome, meet)
        self._samples = []

    def _decide(self, outcome: Outcome, meet: Callable[[Allocation], Goals]) -> None:
        """Takes the best of the best few plans."""
        used, judged = parted(self._samples, JUDGED)
        if count(judged) < FEWEST:
            return
        better = outcome.of(used, judged)
        sound = [entry for entry in self._tried if np.isfinite(entry[0])]
        plans = [left for _, left in sorted(sound, key=operator.itemgetter(0))[:FINALISTS]]
        costs = []
        with progress.work("finalists", len(plans)) as judging:
            for left in plans:
                with judging.part():
                    costs.append(with_care(better(meet(Shares(left))), left))
        self._found = Shares(plans[int(np.argmin(np.nan_to_num(costs, nan=np.inf)))])


class Outcome:
    """What goals do to the outputs when they are carried out and compensated.

    Args:
        model: The opened model.
        groups: Its groups.
        used: Batches of samples to compensate with.
        judged: Other batches, which say what is lost.
        rows: At how many positions of feature maps to look.

    Attributes:
        samples: How many samples pass through a network for one plan.
    """

    def __init__(
        self,
        model: Model,
        groups: Groups,
        used: list[Any],
        judged: list[Any],
        rows: int = compensate.ROWS,
    ) -> None:
        self.groups, self.model, self._rows = groups, model, rows
        self._framework = frameworks.of(model)
        self._used, self._judged = self._together(used), self._together(judged)
        self._recorded = Recorded()
        self.samples = count(used + judged)
        self._logits = self._framework.logits_of(model)
        self._outputs = self._of(model)

    def __call__(self, goals: Goals) -> float:
        """Returns the change of the outputs, relative to their variance, and of what they say."""
        small = pruned_at_once(self.model, self.groups, goals)
        compensate.compensated(
            small, self.model, self._used, rows=self._rows, recorded=self._recorded
        )
        outputs = self._of(small)
        return change(self._outputs, outputs) + divergence(self._outputs, outputs)

    def of(self, used: list[Any], judged: list[Any]) -> Outcome:
        """Returns the same with other samples, and all positions that `spp.compensate` looks at."""
        return Outcome(self.model, self.groups, used, judged)

    def _together(self, batches: list[Any]) -> list[Any]:
        """Makes larger batches of small ones, where the model allows it."""
        if self.model.inputs[0].shape[0]:
            return batches
        size = max(1, int(TOGETHER / (max(self.groups.dense(), 1) * CHUNK)))
        return [concatenated(batches[at : at + size]) for at in range(0, len(batches), size)]

    def _of(self, model: Model) -> list[np.ndarray]:
        """Computes a model's outputs for the samples that judge, layer by layer.

        To compile each of these models would take longer.
        """
        lockstep = self._framework.Lockstep(model, self.model, self._judged, alone=True)
        parts: list[list[np.ndarray]] = []

        def collect(tensors: Any, originals: Any) -> None:
            outputs = [np.asarray(tensors[number]) for number in lockstep.outputs]
            parts.append(self._logits(outputs))

        lockstep.run(len(lockstep.steps), {len(lockstep.steps): collect})
        return [np.concatenate(of_one) for of_one in zip(*parts, strict=True)]
