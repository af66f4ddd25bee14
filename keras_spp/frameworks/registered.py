"""Lets Keras find the classes of saved models, and schedules what computes with arrays.

A pruned model names classes of this package. They need a framework, so nothing is imported for them
until a file names one: until then, Keras has a stand-in under each registered name.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import wrapt

from keras_spp.core import namespace

_SCHEDULES = dict.fromkeys(
    ("keras_spp>SPPSchedule", "keras_spp>GradualSchedule", "keras_spp>OneShotSchedule"),
    "schedules",
)
# For each Keras the package of its adapter, and in which module there registered classes are.
_CLASSES = {
    "tf_keras": {
        "keras_spp>PruneSPP": "wrapper",
        # Inside another wrapper (TimeDistributed, PruneSPP) files have the bare class name.
        "PruneSPP": "wrapper",
        "keras_spp>PrunableConv2D": "layers",
        "PrunableConv2D": "layers",
        **_SCHEDULES,
    },
    "keras3": {"keras_spp>PruneSPP": "wrapper", **_SCHEDULES},
}
_PACKAGES = {"tf_keras": "tf_keras", "keras3": "keras"}
# What computes with arrays of a package.
_TENSORFLOW = "keras_spp.frameworks.tensorflow.arrays"
_KERAS_3 = "keras_spp.frameworks.keras3.arrays"
_ARRAYS = {
    "tensorflow": _TENSORFLOW,
    "tf_keras": _TENSORFLOW,
    **dict.fromkeys(("keras", "jax", "jaxlib", "torch"), _KERAS_3),
}


def register_for_loading() -> None:
    """Registers stand-ins with each Keras as soon as it is imported; now, if it is already."""
    for package, module in _ARRAYS.items():
        namespace.register(package, module)
    for adapter, package in _PACKAGES.items():
        wrapt.register_post_import_hook(_registering(adapter), package)
    # Schedules are its `PruningSchedule`s, whether anything else here is used or not.
    wrapt.register_post_import_hook(
        lambda _: importlib.import_module("keras_spp.frameworks.tf_keras.schedules"),
        "tensorflow_model_optimization",
    )


def _registering(adapter: str) -> Any:
    def register(keras: ModuleType) -> None:
        registry = keras.saving.get_custom_objects()
        for name, module in _CLASSES[adapter].items():
            path = f"keras_spp.frameworks.{adapter}.{module}"
            registry.setdefault(name, _stand_in(name, path))

    return register


def _stand_in(name: str, module: str) -> type:
    """Makes a class whose `from_config` makes objects of the real one, which it imports."""

    def from_config(cls: type, config: dict[str, Any]) -> Any:
        real = getattr(importlib.import_module(module), name.rpartition(">")[2])
        return real.from_config(config)

    return type(name, (), {"from_config": classmethod(from_config)})
