"""Structured Probabilistic Pruning (Wang et al., BMVC 2018) for tf_keras models.

pruned = spp.prune(model, target_speedup=2.0)
pruned.compile(...); pruned.fit(data, callbacks=[spp.SPPCallback()])
small = spp.shrink(pruned)
spp.export_tflite(small, "small.tflite")
spp.benchmark({"dense": "dense.tflite", "small": "small.tflite"})
"""

from keras_spp.frameworks.tf_keras import stack

stack.check_stack()

from keras_spp.allocation.fisher import Fisher  # noqa: E402
from keras_spp.allocation.pca import PCA  # noqa: E402
from keras_spp.allocation.search import Search  # noqa: E402
from keras_spp.allocation.sensitivity import Sensitivity  # noqa: E402
from keras_spp.allocation.uniform import Uniform  # noqa: E402
from keras_spp.analysis import Analysis, analyze  # noqa: E402
from keras_spp.core.goals import Allocation  # noqa: E402
from keras_spp.core.rule import rule  # noqa: E402
from keras_spp.core.schedule import GradualSchedule, OneShotSchedule, SPPSchedule  # noqa: E402
from keras_spp.devices.benchmark import benchmark  # noqa: E402
from keras_spp.devices.device import Device  # noqa: E402
from keras_spp.export.metadata import read_metadata  # noqa: E402
from keras_spp.export.parity import parity  # noqa: E402
from keras_spp.export.tflite import export_tflite  # noqa: E402
from keras_spp.frameworks.tf_keras.layers import PrunableConv2D  # noqa: E402
from keras_spp.frameworks.tf_keras.loading import load_model  # noqa: E402
from keras_spp.frameworks.tf_keras.openable import openable  # noqa: E402
from keras_spp.pruning.compare_rounding import compare_rounding  # noqa: E402
from keras_spp.pruning.prune import prune  # noqa: E402
from keras_spp.shrinking.optimizer import sliced_optimizer  # noqa: E402
from keras_spp.shrinking.shrink import shrink  # noqa: E402
from keras_spp.training.batch_norm import reestimate_batch_norm  # noqa: E402
from keras_spp.training.callback import SPPCallback  # noqa: E402
from keras_spp.training.checkpoints import BackupAndRestore, ModelCheckpoint  # noqa: E402
from keras_spp.training.distill import distill  # noqa: E402
from keras_spp.training.pruner import Progress, Pruner  # noqa: E402
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
