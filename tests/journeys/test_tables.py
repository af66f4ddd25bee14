"""Every report's table fits 80 columns, whatever it reports, and cuts nothing."""

from pathlib import Path

import pytest

from keras_spp.analysis.analysis import Analysis, AnalysisRow
from keras_spp.compensation.report import Compensation, LayerLoss
from keras_spp.devices.benchmark import BenchmarkReport, BenchmarkRow
from keras_spp.export.parity import ParityReport, ParityRow
from keras_spp.pruning.compare_rounding import RoundingReport, RoundingRow
from keras_spp.pruning.compression import CompressedLayer, Compression, OutputChange

LAYER = "block_16_depthwise_convolution_of_the_second_branch"
REASON = "no kernel that is multiplied at every position (MultiHeadAttention)"
REPORTS = {
    "analysis": (
        Analysis(
            "mobilenet_v2_1.00_224",
            (
                AnalysisRow(
                    LAYER, "GroupQueryAttention", 1280, 1280, 9_154_140_672, 93_408_000, True,
                    REASON,
                ),
                AnalysisRow("c", "Conv2D", None, 0, 154_140_672, 3_408, False, "model output"),
            ),
            False,
        ),
        ["9,154,140,672", "93,408,000", "9,308,281,344", "1280"],
    ),
    "benchmark": (
        BenchmarkReport(
            "ssh://someone@raspberry.of.a.network:2222",
            (
                BenchmarkRow(
                    LAYER, 12345.6, 13001.1, 14002.2, 98.7654321, 1.0, 2**27, 1234, 123, 16, 50
                ),
                BenchmarkRow("b", 0.01234, None, 345.678, 0.001, 12.345, 1536, 5, None, 16, 50),
            ),
            "Intel(R) Xeon(R) Processor @ 2.80GHz, ai-edge-litert 2.3.1",
        ),
        ["12,346", "13,001", "14,002", "98.765", "131,072", "1234", "0.012", "345.7", "12.35x"],
    ),
    "parity": (
        ParityReport(
            Path("some/folder/of/results/mobilenet_v2_1.00_224_int8.tflite"),
            50_000,
            (ParityRow(LAYER, 1.234e-05, 1.234e-06, 12345.6, 0.99123, 0.71234, 0.70123),),
        ),
        ["1.23e-05", "1.23e-06", "1.23e+04", "99.12%", "71.23%", "70.12%"],
    ),
    "compression": (
        Compression(
            "mobilenet_v2_1.00_224", (9_300_774_272, 4_150_000_000), (93_504_872, 42_000_000), 1024,
            128, 0, "no derivatives", 1234.5, (OutputChange(LAYER, 0.0123, 0.987),),
            (
                CompressedLayer(LAYER, (12800, 6400), 0.98765, 0.12345, None),
                CompressedLayer("x", None, None, None, REASON),
            ),
        ),
        ["12800 -> 6400", "98.77%", "12.35%", "9,300,774,272", "98.7%"],
    ),
    "compensation": (
        Compensation(
            "net", 1024,
            (LayerLoss(LAYER, before=0.98765, after=0.1), LayerLoss("x", reason=REASON)),
        ),
        ["98.77%", "10.00%"],
    ),
    "rounding": (
        RoundingReport("local", "int16x8", (RoundingRow(128, 12.345, 10.5, 0.85),), {64: REASON}),
        ["128", "12.35x", "10.50x", "0.85"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_a_table_fits_80_columns_with_everything_in_it(name):
    report, numbers = REPORTS[name]
    text = str(report)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "…" not in text
    assert [number for number in numbers if number not in text] == []
