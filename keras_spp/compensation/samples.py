"""The samples that both networks are shown."""

from __future__ import annotations

from typing import Any

from keras_spp.frameworks.data import chunks
from keras_spp.frameworks.interface import Adapter, Model

CHUNK = 32  # samples that pass through the networks together


def gathered(framework: Adapter, model: Model, representative_data: Any, samples: int) -> list:
    """Returns samples in batches."""
    fixed = model.inputs[0].shape[0]
    size = fixed or min(CHUNK, samples)
    return list(
        chunks(representative_data, size, -(-samples // size), bool(fixed), again=False)
    )
