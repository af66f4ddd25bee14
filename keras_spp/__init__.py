"""Structured Probabilistic Pruning (Wang et al., BMVC 2018) for tf_keras models.

pruned = spp.prune(model, target_speedup=2.0)
pruned.compile(...); pruned.fit(data, callbacks=[spp.SPPCallback()])
small = spp.shrink(pruned)
spp.export_tflite(small, "small.tflite")
spp.benchmark({"dense": "dense.tflite", "small": "small.tflite"})
"""

from keras_spp import compat

compat.check_stack()

from keras_spp.allocation import Allocation, Uniform  # noqa: E402
from keras_spp.backup import BackupAndRestore, ModelCheckpoint  # noqa: E402
from keras_spp.batch_norm import reestimate_batch_norm  # noqa: E402
from keras_spp.benchmark import benchmark  # noqa: E402
from keras_spp.callback import SPPCallback  # noqa: E402
from keras_spp.composites import openable  # noqa: E402
from keras_spp.distill import distill  # noqa: E402
from keras_spp.export import export_tflite  # noqa: E402
from keras_spp.fisher import Fisher  # noqa: E402
from keras_spp.latency import Device  # noqa: E402
from keras_spp.layers import PrunableConv2D  # noqa: E402
from keras_spp.metadata import read_metadata  # noqa: E402
from keras_spp.optimizer import sliced_optimizer  # noqa: E402
from keras_spp.parity import parity  # noqa: E402
from keras_spp.pca import PCA  # noqa: E402
from keras_spp.prune import prune  # noqa: E402
from keras_spp.pruner import Progress, Pruner  # noqa: E402
from keras_spp.report import Analysis, analyze  # noqa: E402
from keras_spp.rounding import compare_rounding  # noqa: E402
from keras_spp.rules import rule  # noqa: E402
from keras_spp.saved import load_model  # noqa: E402
from keras_spp.schedule import GradualSchedule, OneShotSchedule, SPPSchedule  # noqa: E402
from keras_spp.search import Search  # noqa: E402
from keras_spp.sensitivity import Sensitivity  # noqa: E402
from keras_spp.shrink import shrink  # noqa: E402
from keras_spp.version import __version__  # noqa: E402

__all__ = [
    "PCA",
    "Allocation",
    "Analysis",
    "BackupAndRestore",
    "Device",
    "Fisher",
    "GradualSchedule",
    "ModelCheckpoint",
    "OneShotSchedule",
    "Progress",
    "PrunableConv2D",
    "Pruner",
    "SPPCallback",
    "SPPSchedule",
    "Search",
    "Sensitivity",
    "Uniform",
    "__version__",
    "analyze",
    "benchmark",
    "compare_rounding",
    "distill",
    "export_tflite",
    "load_model",
    "openable",
    "parity",
    "prune",
    "read_metadata",
    "reestimate_batch_norm",
    "rule",
    "shrink",
    "sliced_optimizer",
]
