"""Allocation by search: whole plans are measured, and the best one is changed step by step."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from keras_spp import frameworks
from keras_spp.allocation.distortion import Distortion
from keras_spp.allocation.fisher import Fisher
from keras_spp.core.goals import Allocation
from keras_spp.core.groups import Goals, Groups, GroupSet
from keras_spp.frameworks.interface import Model
from keras_spp.util import progress
from keras_spp.util.checks import check_integer

# What a plan changes is divided by the geometric mean of the shares that it leaves, to this power:
# of plans that disturb the outputs alike, the one that leaves more of every layer is taken.
CARE = 0.2
RESTARTS = 8
FIRST, LAST, GAIN = 0.7, 0.03, 0.02  # steps of the shares' logarithms; what is worth another round


class Measure(Protocol):
    """What a plan costs, beside other plans.

    Attributes:
        groups: The groups that plans are about.
    """

    groups: Groups

    def __call__(self, goals: Goals) -> float:
        """Returns the cost of these goals."""


class Search:
    """Finds what the network can do without by trying it, one whole plan after the other.

    It starts from the same ratio everywhere or from the plan of `Fisher`, whichever is better. One
    set after the other is given more or less, the others make up for it so that the target is
    met, and what disturbs the outputs least is kept; steps get smaller when they no longer help.

    A plan is measured on a copy without its least important groups by L1 norm: the squared change
    of the outputs relative to their variance, after each layer that lost inputs has got back the
    mean and standard deviation of its channels in the dense network. Without that one would
    measure what a few steps of training repair anyway.
    No targets are needed, but samples must differ, and the first ones count: shuffle them if they
    are sorted.

    It takes about as much computation as training on a third of `trials` x `samples` samples.

    Source: that pruned networks can be compared before they are trained once their normalisation
    is adapted is from Li, Wu, Su, Wang, "EagleEye: fast sub-net evaluation for efficient neural
    network pruning", 2020, which draws the ratios of plans at random. That restored statistics do
    the same in networks without normalisation is from Jordan, Sedghi, Saukh, Entezari, Neyshabur,
    "REPAIR: renormalizing permuted activations for interpolation repair", 2023. The search is
    this library's.

    Args:
        samples: Samples to measure with, at least 1; fewer if `representative_data` holds fewer.
        trials: Plans to measure at most, at least 2.
        seed: Decides in which order sets take their turns.
        verbose: 0 shows nothing, 1 a progress bar, which may end early: when nothing helps.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np, tf_keras as keras, keras_spp as spp
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Conv2D(16, 3),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        >>> images = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
        >>> pruned = spp.prune(model, target_speedup=2, allocation=Search(trials=16, verbose=0),
        ...                    representative_data=images, round_to=1)
    """

    def __init__(
        self, samples: int = 256, trials: int = 128, seed: int = 0, verbose: int = 1
    ) -> None:
        check_integer("samples", samples, 1)
        check_integer("trials", trials, 2)
        check_integer("seed", seed, 0)
        check_integer("verbose", verbose, 0)
        self.samples, self.trials, self.seed = int(samples), int(trials), int(seed)
        self.verbose = int(verbose)
        self._measure: Measure | None = None
        self._starts: list[Allocation] = []
        self._first = FIRST
        self._tried: list[tuple[float, np.ndarray]] = []  # costs, and the shares that are left
        self._found = Shares(np.ones(1))

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Remembers what the dense network makes of the samples."""
        measure = Distortion(model, groups, representative_data, self.samples)
        self._measure = measure
        self._found = Shares(np.ones(len(groups.sets)))
        self._starts = [self._found]
        first = frameworks.of(model).flatten(measure.inputs[0])[0]
        estimate = Fisher(samples=min(8, len(first)))
        try:
            estimate.prepare(model, groups, [(inputs,) for inputs in measure.inputs])
        except ValueError:  # derivatives that say nothing, or samples that only come together
            return
        self._starts.append(estimate)

    def search(self, meet: Callable[[Allocation], Goals]) -> None:
        """Finds the plan, once: for another target `ratios` scales it.

        Args:
            meet: Returns the goals with which an allocation meets the target.
        """
        if (measure := self._measure) is None:
            return
        with progress.work("search", self.trials, self.verbose) as search:
            self._climb(meet, measure, search)

    def _climb(
        self, meet: Callable[[Allocation], Goals], measure: Measure, search: progress.Work
    ) -> None:
        """Measures plans, each of which moves the search on, and remembers the best."""
        sets = measure.groups.sets
        sizes = np.array([entry.size for entry in sets])
        costs: dict[tuple[int, ...], float] = {}
        self._tried = []

        def tried(plan: Allocation) -> tuple[float, np.ndarray]:
            """Returns what a plan costs, and which shares it leaves."""
            goals = meet(plan)
            left = 1 - goals / sizes
            key = tuple(goals.tolist())
            if key not in costs:
                costs[key] = with_care(measure(goals), left)
                self._tried.append((costs[key], left))
                search.advance()
            return costs[key], left

        random = np.random.default_rng(self.seed)

        def climb(least: float, shares: np.ndarray) -> tuple[float, np.ndarray]:
            """Changes one set after the other while that helps."""
            step = self._first
            while step > LAST and len(costs) < self.trials:
                before = least
                for number, up in _turns(random, len(sets)):
                    if len(costs) >= self.trials:
                        break
                    moved = shares.copy()
                    moved[number] *= np.exp(step if up else -step)
                    cost, moved = tried(Shares(moved))
                    if cost < least:
                        least, shares = cost, moved
                if not least < (1 - GAIN) * before:
                    step /= 2
            return least, shares

        starts = map(tried, self._starts)
        least, shares = climb(*min(starts, key=operator.itemgetter(0)))
        for _ in range(RESTARTS):  # small networks have trials left to climb from elsewhere
            if len(costs) >= self.trials:
                break
            factors = np.exp(FIRST * random.normal(size=len(sets)))
            climbed = climb(*tried(Shares(shares * factors)))
            least, shares = min(climbed, (least, shares), key=operator.itemgetter(0))
        self._found, self._measure, self._starts = Shares(shares), None, []

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Scales the shares that the search has found by one factor."""
        return self._found.ratios(sets, strength)


def with_care(cost: float, left: np.ndarray) -> float:
    """Makes plans dearer that leave little of some sets, whose shares these are."""
    return float(cost / np.exp(CARE * np.log(left).mean()))


class Shares:
    """Keeps these shares of the sets, shape (sets,), all scaled by one factor, at most all."""

    def __init__(self, shares: np.ndarray) -> None:
        self.shares = shares

    def prepare(self, model: Model, groups: Groups, representative_data: Any) -> None:
        """Does nothing: the shares are given."""

    def ratios(self, sets: list[GroupSet], strength: float) -> list[float]:
        """Scales the shares; at strength 0 even the set with the smallest one keeps all."""
        factor = (1 - strength) / self.shares.min()
        return list(1 - np.minimum(factor * self.shares, 1.0))


def _turns(random: np.random.Generator, count: int) -> Iterator[tuple[int, bool]]:
    """Yields every set, up and down, in some order."""
    for turn in random.permutation(2 * count):
        yield int(turn) // 2, bool(turn % 2)
