# What the package offers, grouped by stage: for type checkers, and for lazy_loader, which imports a
# name's module when the name is asked for first.
# ruff: noqa: I001
from .version import __version__ as __version__

from .analysis.analysis import Analysis as Analysis, analyze as analyze
from .allocation.fisher import Fisher as Fisher
from .allocation.pca import PCA as PCA
from .allocation.search import Search as Search
from .allocation.sensitivity import Sensitivity as Sensitivity
from .allocation.uniform import Uniform as Uniform
from .core.goals import Allocation as Allocation
from .core.rule import rule as rule
from .frameworks.openable import openable as openable
from .compensation.compensate import compensate as compensate
from .pruning.compress import compress as compress
from .pruning.compare_rounding import compare_rounding as compare_rounding
from .pruning.prune import prune as prune
from .core.schedule import (
    GradualSchedule as GradualSchedule,
    OneShotSchedule as OneShotSchedule,
    SPPSchedule as SPPSchedule,
)
from .training.batch_norm import reestimate_batch_norm as reestimate_batch_norm
from .training.callback import SPPCallback as SPPCallback
from .training.checkpoints import (
    BackupAndRestore as BackupAndRestore,
    ModelCheckpoint as ModelCheckpoint,
)
from .training.distill import distill as distill
from .training.pruner import Progress as Progress, Pruner as Pruner
from .frameworks.tf_keras.layers import PrunableConv2D as PrunableConv2D
from .frameworks.loading import load_model as load_model
from .shrinking.optimizer import sliced_optimizer as sliced_optimizer
from .shrinking.shrink import shrink as shrink
from .export.metadata import read_metadata as read_metadata
from .export.parity import parity as parity
from .export.tflite import export_tflite as export_tflite
from .devices.benchmark import benchmark as benchmark
from .devices.device import Device as Device
from .reporting.costs import Tradeoff as Tradeoff
from .reporting.report import report as report
from .reporting.tradeoff import tradeoff as tradeoff
