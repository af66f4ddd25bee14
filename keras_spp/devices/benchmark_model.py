"""Parses the output of TensorFlow's `benchmark_model`, strictly.

Its format is documented in tensorflow/lite/tools/benchmark. It prints one line of statistics for
the warm-up and one for the timed runs, in microseconds, and says what a delegate took over. What
does not look like that is an error: a guess would be a wrong latency.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STATISTICS = re.compile(
    r"^(?:INFO: )?count=(?P<count>\d+)"
    r"(?: first=\d+ curr=\d+ min=(?P<min>\d+) max=(?P<max>\d+) avg=\S+ std=\d+"
    r"| curr=(?P<same>\d+)(?: ?\(all same\))?)?"
    r"(?P<percentiles> p5=(?P<p5>\d+) median=(?P<median>\d+) p95=(?P<p95>\d+))?$",
    re.MULTILINE,
)
_END = re.compile(r"^(?:INFO: )?Inference timings in us: Init: ", re.MULTILINE)
_IGNORED = re.compile(r"Unconsumed cmdline flags: *(.*)")
_LACKING = re.compile(r"[^\n]*(?:unresolved custom op|Didn't find op for builtin opcode)[^\n]*")
_REPLACED = re.compile(
    r"Replacing (\d+) out of \d+ node\(s\) with delegate \((\w+)\) node"
    r"(?:, yielding \d+ partitions(?: for subgraph (\d+))?)?"
)
_APPLIED = re.compile(
    r"(?:Explicitly applied (?P<used>\w+)|Though (?P<unused>\w+)) delegate(?:,| is explicitly)"
)


@dataclass(frozen=True)
class Output:
    """The statistics of the timed runs, in microseconds, and how many nodes a delegate runs."""

    count: int
    min: int
    median: int
    p95: int
    delegated_nodes: int | None


def parse(text: str, status: int, runs: int, delegate: str, what: str) -> Output:
    r"""Parses the output of one run of one file.

    Args:
        text: All that `benchmark_model` printed.
        status: Its exit status.
        runs: How many timed runs were asked for.
        delegate: Which delegate was asked for: "xnnpack", "none", "gpu" or "nnapi".
        what: The file and the device, for messages.

    Raises:
        ValueError: If the run failed, ran something else than asked for, or printed something
            unknown.

    Example:
        >>> text = '''count=1 curr=950 p5=950 median=950 p95=950
        ... Explicitly applied XNNPACK delegate, and the model graph will be completely executed.
        ... count=9 first=3 curr=4 min=2 max=9 avg=4.5 std=2 p5=2 median=4 p95=9
        ... Inference timings in us: Init: 10, First inference: 950, Warmup (avg): 950, ...'''
        >>> parse(text, 0, 9, "xnnpack", "a.tflite").median
        4
    """
    text = text.replace("\r", "")
    if missing := _LACKING.search(text):
        raise ValueError(
            f"{what} needs an operation that benchmark_model lacks ({_short(missing[0])}): take a "
            "newer benchmark_model or export the model without that operation."
        )
    if ignored := _IGNORED.search(text):
        raise ValueError(
            f"{what} was run by a benchmark_model without the options {ignored[1].strip()}: take a "
            "newer one, or one that has the `delegate`."
        )
    if status:
        raise ValueError(f"{what} does not run ({_tail(text)}).")
    unknown_output = ValueError(
        f"{what} gave an output of benchmark_model that is unknown ({_tail(text)})."
    )
    lines = list(_STATISTICS.finditer(text))
    if len(lines) != 2 or not _END.search(text):
        raise unknown_output
    timed = lines[1]
    if not timed["percentiles"]:
        raise ValueError(
            f"{what} was run by a benchmark_model that prints no percentiles: take a newer one."
        )
    least, most = (int(timed[key] or timed["same"] or -1) for key in ("min", "max"))
    p5, median, p95 = (int(timed[key]) for key in ("p5", "median", "p95"))
    if not 0 <= least <= p5 <= median <= p95 <= most:
        raise unknown_output
    if int(timed["count"]) != runs:
        raise ValueError(
            f"{what} was run {timed['count']} times instead of {runs}: allow a longer `timeout`."
        )
    if not least:
        raise ValueError(
            f"{what} takes less than a microsecond, which benchmark_model cannot time."
        )
    return Output(runs, least, median, p95, _count_delegated(text, delegate, what))


def _count_delegated(text: str, delegate: str, what: str) -> int | None:
    if delegate == "none":
        return 0
    applied = [line["used"] or line["unused"] for line in _APPLIED.finditer(text)]
    if delegate.upper() not in applied:
        raise ValueError(
            f"{what} was run without the `delegate` {delegate!r}, which benchmark_model did not "
            f"apply ({_tail(text)})."
        )
    if f"Though {delegate.upper()}" in text:
        return 0
    counts = [
        int(nodes)
        for nodes, name, subgraph in _REPLACED.findall(text)
        if delegate in name.lower() and subgraph in ("", "0")
    ]
    return sum(counts) if counts else None


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(" / ".join(lines[-3:])) if lines else "nothing"


def _short(text: str) -> str:
    return text.strip().rstrip(".")[-300:]
