"""How often two models decide alike on samples, and rightly where there are labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_spp import frameworks
from keras_spp.export.differences import Differences, compared
from keras_spp.export.samples import arrays
from keras_spp.frameworks.data import BATCH
from keras_spp.frameworks.interface import Model
from keras_spp.reporting.samples import open_sizes


@dataclass(frozen=True)
class OutputAgreement:
    """One output of both models.

    Attributes:
        output: Its name.
        agreement: The share of samples (and positions) whose largest entry is at the same place;
            None for an output of one number.
        dense_top1: The share of labels that are the dense model's top-1; None without labels.
        small_top1: The same of the small one.
        lost: The mean squared difference, relative to the variance of the dense model's output.
        mean_difference: The mean absolute difference.
        max_difference: The largest.
        largest: The largest absolute value that the dense model gives, to judge these by.
    """

    output: str
    agreement: float | None
    dense_top1: float | None
    small_top1: float | None
    lost: float
    mean_difference: float
    max_difference: float
    largest: float


@dataclass(frozen=True)
class Agreement:
    """How two models compare on samples.

    Attributes:
        samples: How many.
        outputs: Each of the outputs.
    """

    samples: int
    outputs: tuple[OutputAgreement, ...]

    @property
    def decided(self) -> OutputAgreement | None:
        """The first output that decides between classes; None if none does."""
        return next((output for output in self.outputs if output.agreement is not None), None)


def agreement(dense: Model, small: Model, data: Any) -> Agreement:
    """Compares the outputs of two models.

    Args:
        dense: A model.
        small: One that takes and gives the same.
        data: As for `spp.parity`.

    Raises:
        TypeError: If there is no data, or it has another form.
        ValueError: If it is empty, or does not fit the models.
    """
    framework = frameworks.of(dense)
    first, second = (
        (frameworks.of(model).inference(model), model.inputs[0].shape[0] or BATCH)
        for model in (dense, small)
    )
    batches = arrays(dense, data, open_sizes(dense), "data")
    outputs, samples = compared(framework.output_keys(dense), batches, first, second)
    return Agreement(samples, tuple(map(_row, outputs)))


def _row(output: Differences) -> OutputAgreement:
    return OutputAgreement(
        output.name,
        output.agreement,
        output.first_top1,
        output.second_top1,
        output.lost,
        output.mean,
        output.most,
        output.largest,
    )
