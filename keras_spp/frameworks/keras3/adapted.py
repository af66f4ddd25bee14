"""Layers that compute with more than the weights that their class has: quantized, or with LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_spp.frameworks.keras3 import private


def is_adapted(layer: Any) -> bool:
    """Tells whether a layer, or one inside of it, is quantized or has LoRA enabled."""
    return any(
        part.quantization_mode is not None or bool(getattr(part, "lora_enabled", False))
        for part in private.parts(layer)
    )


def require_unchanged(wrappers: Sequence[Any]) -> None:
    """Checks that pruned layers have the weights with which they were pruned.

    Raises:
        ValueError: If one was quantized, or given LoRA, since.
    """
    for wrapper in wrappers:
        if is_adapted(wrapper.layer):
            raise ValueError(
                f"Layer {wrapper.name!r} was quantized, or had LoRA enabled, after spp.prune, "
                f"whose masks know nothing of that: do so before spp.prune, which then leaves the "
                f"layer alone, or after spp.shrink."
            )
