"""What a report says first: one sentence, and a few large numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keras_spp.devices.benchmark import BenchmarkReport, BenchmarkRow
from keras_spp.reporting import numbers
from keras_spp.reporting.agreement import Agreement
from keras_spp.reporting.facts import Facts, File


@dataclass(frozen=True)
class Tile:
    """A large number.

    Attributes:
        number: The number.
        what: What it counts.
        change: What it was and is.
        left: Which share of the dense model's is left; None if that is not the question.
    """

    number: str
    what: str
    change: str
    left: float | None = None


def _pair(report: BenchmarkReport) -> tuple[BenchmarkRow, BenchmarkRow] | None:
    """Returns the rows of the dense file and of the small one."""
    if len(report) < 2:
        return None
    return report[0], next((row for row in report if row.name == "small"), report[1])


def tiles(facts: Facts) -> Iterator[Tile]:
    """Yields the large numbers that are known."""
    comparison = facts.comparison
    if comparison.speedup is not None:
        per = "" if comparison.dense.fixed_size else " per position"
        yield _ratio(comparison.macs, f"fewer MACs{per}", numbers.short)
    yield _ratio(comparison.params, "fewer parameters", numbers.short)
    if (sizes := _file_sizes(facts.files)) is not None:
        yield _ratio(sizes, "smaller TFLite file", numbers.size)
    for report in facts.times:
        if (pair := _pair(report)) is not None:
            dense, small = pair
            change = f"{dense.median_ms:.3g} → {small.median_ms:.3g} ms"
            what = f"{'faster' if small.ratio >= 1 else 'as fast'} ({report.device})"
            left = min(1.0, 1 / small.ratio)
            yield Tile(f"{small.ratio:.2f}x", what, change, left)
    if facts.agreement is not None:
        samples, output = f"of {facts.agreement.samples:,} samples", facts.agreement.decided
        if output is None:
            kept = numbers.share(_kept(facts.agreement))
            yield Tile(kept, "of the outputs' variance", f"kept, {samples.removeprefix('of ')}")
        elif output.small_top1 is not None and output.dense_top1 is not None:
            points = 100 * (output.small_top1 - output.dense_top1)
            change = f"dense {numbers.share(output.dense_top1)} ({points:+.1f} points)"
            yield Tile(numbers.share(output.small_top1), f"right, {samples}", change)
        else:
            yield Tile(numbers.share(output.agreement), "the same answer", samples)


def _ratio(pair: tuple[int, int], what: str, words: Callable[[float], str]) -> Tile:
    before, after = pair
    ratio = f"{before / after:.2f}x" if after else "all"
    change = f"{words(before)} → {words(after)}"
    return Tile(ratio, what, change, after / before if before else None)


def _file_sizes(files: Sequence[File]) -> tuple[int, int] | None:
    dense = next((file for file in files if file.is_dense), None)
    small = next((file for file in files if not file.is_dense), None)
    return None if dense is None or small is None else (dense.bytes, small.bytes)


def _kept(agreement: Agreement) -> float:
    return max(0.0, 1 - agreement.outputs[0].lost)


def verdict(facts: Facts) -> str:
    """Returns what there is to say in one or two sentences, for those who read no further."""
    comparison = facts.comparison
    said = [f"has {_times(*comparison.params)} fewer parameters"]
    if comparison.speedup is not None:
        said = [f"does {_times(*comparison.macs)} fewer multiply-accumulates", *said]
    if facts.times and (pair := _pair(facts.times[0])) is not None:
        said.append(f"takes {pair[1].median_ms:.3g} ms instead of {pair[0].median_ms:.3g}")
    sentence = f"The small model {_joined(said)}."
    if facts.agreement is None:
        return f"{sentence} How well it answers was not measured here: no samples were given."
    of = f"{facts.agreement.samples:,} samples"
    output = facts.agreement.decided
    if output is None:
        kept = numbers.share(_kept(facts.agreement))
        return f"{sentence} On {of} its outputs keep {kept} of the variance of the dense model's."
    if output.small_top1 is not None:
        return (
            f"{sentence} It is right on {numbers.share(output.small_top1)} of {of}, where the "
            f"dense model is on {numbers.share(output.dense_top1)}."
        )
    same = numbers.share(output.agreement)
    return f"{sentence} It gives the dense model's answer on {same} of {of}."


def _times(before: int, after: int) -> str:
    return f"{before / max(after, 1):.2f} times"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
