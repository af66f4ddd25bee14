"""The transcripts are in the documented format, see benchmark_model/README.md: no recordings."""

from pathlib import Path

import pytest

from keras_spp.devices.benchmark_model import Output, parse

TRANSCRIPTS = Path(__file__).parent / "benchmark_model"


def read(name, delegate="xnnpack", status=0, runs=10, change=lambda text: text):
    text = change((TRANSCRIPTS / f"{name}.txt").read_text())
    return parse(text, status, runs, delegate, "the file")


def refused(match, *arguments, **options):
    with pytest.raises(ValueError, match=match) as error:
        read(*arguments, **options)
    message = str(error.value)
    assert message.startswith("the file ") and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("name", "delegate", "expected"),
    [
        ("cpu_dense", "xnnpack", Output(10, 3990, 4012, 4420, 3)),
        ("cpu_small", "xnnpack", Output(10, 1985, 2006, 2300, 3)),
        ("gpu", "gpu", Output(10, 3990, 4012, 4420, 4)),
        ("all_the_same", "xnnpack", Output(10, 37, 37, 37, 3)),
        ("without_delegate", "none", Output(10, 3990, 4012, 4420, 0)),
    ],
)
def test_the_timed_runs_are_read_not_the_warm_up(name, delegate, expected):
    assert read(name, delegate) == expected
    assert read(name, delegate, change=lambda text: text.replace("\n", "\r\n")) == expected


def test_a_delegate_that_takes_nothing_is_counted_as_that():
    def unused(text):
        lines = (line for line in text.splitlines() if "Replacing" not in line)
        words = "Though XNNPACK delegate is explicitly applied, the model graph will not be"
        return "\n".join(lines).replace("Explicitly applied XNNPACK delegate", words)

    assert read("cpu_dense", change=unused).delegated_nodes == 0


def test_how_many_nodes_are_delegated_may_be_unknown():
    def silent(text):
        return "\n".join(line for line in text.splitlines() if "Replacing" not in line)

    assert read("cpu_dense", change=silent).delegated_nodes is None


def test_a_lacking_operation_is_named():
    refused(
        r"needs an operation that benchmark_model lacks .*CUMSUM", "operation_lacking", status=1
    )
    custom = "ERROR: Encountered unresolved custom op: Unheard.\nBenchmarking failed.\n"
    refused(r"lacks .*Unheard", "cpu_dense", status=1, change=lambda text: custom)


def test_a_delegate_that_was_not_applied_is_an_error():
    refused(r"without the `delegate` 'nnapi'", "nnapi_unsupported", "nnapi")
    refused(r"without the `delegate` 'xnnpack'", "without_delegate")
    refused(r"without the `delegate` 'gpu'", "cpu_dense", "gpu")


def test_a_delegate_that_fails_is_an_error_with_the_last_lines():
    refused(r"does not run \(.*Failed to apply GPU delegate.*", "gpu_failed", "gpu", status=1)


def test_an_option_that_the_binary_does_not_know_is_an_error():
    refused(r"without the options --use_gpu=true: take a newer", "option_unknown", "gpu")


def test_a_binary_without_percentiles_is_refused():
    refused(r"prints no percentiles: take a newer", "without_percentiles")


def test_too_few_runs_are_an_error():
    refused(r"was run 10 times instead of 20: allow a longer `timeout`", "cpu_dense", runs=20)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "Hello\n",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("Inference timings", "Timings"),
        lambda text: text.replace("median=", "p50="),
        lambda text: text.replace("count=5 ", "runs=5 "),
        lambda text: text + "count=10 curr=1 p5=1 median=1 p95=1\n",
        lambda text: text.replace("median=4012", "median=5012"),
        lambda text: text.replace("min=3990", "min=3999"),
        lambda text: text.replace("median=4012", "median=-4012"),
        lambda text: text.replace("median=4012", "median=4.012"),
    ],
)
def test_what_is_unknown_is_an_error(change):
    refused(r"output of benchmark_model that is unknown \(", "cpu_dense", change=change)


def test_a_latency_below_the_clock_is_an_error():
    def tiny(text):
        return text.replace("=37", "=0")

    refused(r"less than a microsecond", "all_the_same", change=tiny)


def test_any_other_failure_shows_the_last_lines():
    refused(r"does not run \(.*\(MB\): init=2\.51 overall=3\.02\)\.", "cpu_dense", status=139)
