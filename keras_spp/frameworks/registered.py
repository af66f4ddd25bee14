"""Lets `tf_keras.models.load_model` find the classes of saved models, whichever was imported first.

A pruned model names classes of this package. They need tfmot and TensorFlow, so nothing is imported
for them until a file names one: until then, tf_keras has a stand-in under each registered name.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import wrapt

# Registered names, and the modules of their classes.
_CLASSES = {
    "keras_spp>PruneSPP": "keras_spp.frameworks.tf_keras.wrapper",
    # Inside another wrapper (TimeDistributed, PruneSPP) files have the bare class name.
    "PruneSPP": "keras_spp.frameworks.tf_keras.wrapper",
    "keras_spp>PrunableConv2D": "keras_spp.frameworks.tf_keras.layers",
    "PrunableConv2D": "keras_spp.frameworks.tf_keras.layers",
    "keras_spp>SPPSchedule": "keras_spp.frameworks.tf_keras.schedules",
    "keras_spp>GradualSchedule": "keras_spp.frameworks.tf_keras.schedules",
    "keras_spp>OneShotSchedule": "keras_spp.frameworks.tf_keras.schedules",
}


def register_for_loading() -> None:
    """Registers stand-ins with tf_keras as soon as it is imported; now, if it is already."""
    wrapt.register_post_import_hook(_register, "tf_keras")


def _register(tf_keras: ModuleType) -> None:
    registry = tf_keras.saving.get_custom_objects()
    for name, module in _CLASSES.items():
        registry.setdefault(name, _stand_in(name, module))


def _stand_in(name: str, module: str) -> type:
    """Makes a class whose `from_config` makes objects of the real one, which it imports."""

    def from_config(cls: type, config: dict[str, Any]) -> Any:
        real = getattr(importlib.import_module(module), name.rpartition(">")[2])
        return real.from_config(config)

    return type(name, (), {"from_config": classmethod(from_config)})
