"""Schedules by name for benchmarks/accuracy.py: the library's, and variants to learn from."""

from __future__ import annotations

from typing import Any

import keras_spp as spp  # isort: skip  (first: it makes sure that tf.keras is tf_keras)

SCHEDULES: dict[str, Any] = {
    "one_shot": spp.OneShotSchedule,
    "gradual": spp.GradualSchedule,
    "spp": spp.SPPSchedule,
}
