"""Scores that are functions of the user's own: whether a framework can compute them in a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_spp.core import scores
from keras_spp.core.groups import Groups
from keras_spp.util.messages import first_line


@dataclass(frozen=True)
class ScoreFunctions:
    """What one framework takes for a score.

    Attributes:
        made_of: What such functions are made of, for the message.
        errors: What it raises for others.
        compute: Calls one with a float32 weight of shape (2, 3), as a training step does. Returns
            whether it makes of that what each element contributes, and the shape and type of what
            it makes.
    """

    made_of: str
    errors: tuple[type[Exception], ...]
    compute: Callable[[Callable], tuple[bool, tuple[Any, Any]]]

    def check_score(self, score: Any, groups: Groups) -> None:
        """Checks that a score can rank these groups.

        Args:
            score: A name of `keras_spp.core.scores`, or a function of a weight.
            groups: The model's groups.

        Raises:
            ValueError: If it cannot.
        """
        if callable(score):
            self._check_function(score)
        scores.get(score).check(groups)

    def _check_function(self, contribution: Callable) -> None:
        """Checks that a function works element by element."""
        try:
            fits, got = self.compute(contribution)
        except self.errors as error:
            raise ValueError(
                f"`score` must be made of {self.made_of} of one weight but fails "
                f"({first_line(error)})."
            ) from error
        if not fits:
            raise ValueError(
                f"`score` must return what each element of a weight contributes, but for a float32 "
                f"weight of shape (2, 3) it returned shape and type {got}."
            )
