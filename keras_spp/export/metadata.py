"""What an exported file says about itself: the version, and what was pruned."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema

from keras_spp.analysis import analyze_at
from keras_spp.core.channels import Sizes
from keras_spp.frameworks.tf_keras.graph import find_wrappers, layers
from keras_spp.frameworks.tf_keras.inputs import sizes_that_fit
from keras_spp.frameworks.tf_keras.openable import opened
from keras_spp.frameworks.tf_keras.wrapper import unwrap
from keras_spp.util.files import read_file
from keras_spp.version import __version__

if TYPE_CHECKING:
    from keras_spp.export.packing import PackedLayer

NAME = "keras_spp"
_FORMAT = b"TFL3"
_REMEMBERED = "_keras_spp_originals"


class _Builder(flatbuffers.Builder):
    """A builder that aligns vectors as the schema wants buffers: Python's knows no force_align."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        return super().StartVector(elemSize, numElems, 16)


def with_metadata(buffer: bytes | bytearray, info: dict[str, Any]) -> bytearray:
    """The content of a TFLite file with `info` as a metadata entry, in JSON."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(buffer, 0))
    content, entry = schema.BufferT(), schema.MetadataT()
    content.data = np.frombuffer(json.dumps(info).encode(), np.uint8)
    entry.name, entry.buffer = NAME, len(file.buffers)
    file.buffers.append(content)
    file.metadata = [*(file.metadata or []), entry]
    builder = _Builder(len(buffer) + 4096)
    builder.Finish(file.Pack(builder), _FORMAT)
    return bytearray(builder.Output())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `export_tflite` has written into a file about it.

    Args:
        path: A TFLite file.

    Returns:
        "keras_spp", the version; "model", its name; "quantization"; "pruned", as in
        `pruned_from`, or None where that was not known; and "columns", for each convolution with
        pruned columns how many are left, how many there were, and how the file computes it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no TFLite file, or keras_spp did not write it.

    Example:
        >>> import os, tempfile
        >>> import keras_spp as spp
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> path = os.path.join(tempfile.mkdtemp(), "dense.tflite")
        >>> _ = spp.export_tflite(model, path, "float16")
        >>> spp.read_metadata(path)["quantization"]
        'float16'
    """
    buffer = read_file(path)
    if buffer[4:8] != _FORMAT:
        raise ValueError(f"`path` must be a TFLite file but {str(path)!r} is none.")
    try:
        file = schema.Model.GetRootAs(buffer, 0)
        for entry in (file.Metadata(index) for index in range(file.MetadataLength())):
            if entry.Name() == NAME.encode():
                found = json.loads(file.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
                return {**found}
    except Exception as error:  # offsets that lead nowhere end in any kind of exception
        raise ValueError(
            f"`path` must be a whole TFLite file but {str(path)!r} is damaged: export it again."
        ) from error
    raise ValueError(
        f"`path` must be a file that spp.export_tflite has written but {str(path)!r} has no "
        f"metadata of {NAME}."
    )


def about(
    model: keras.Model,
    original: keras.Model | None,
    quantization: str,
    packed: Sequence[PackedLayer] = (),
    sizes: Sequence[Sizes] | None = None,
) -> dict[str, Any]:
    """What to write into a file: the keys are those of `read_metadata`."""
    return {
        NAME: __version__,
        "model": model.name,
        "quantization": quantization,
        "pruned": pruned_from(model, original, sizes),
        "columns": {row.layer: [*row.columns, row.layout] for row in packed},
    }


def describe(model: keras.Model, sizes: Sequence[Sequence[Any]] | None = None) -> dict[str, Any]:
    """What a model has to be compared by: MACs, parameters and widths of layers, before and after.

    Args:
        model: The model.
        sizes: Those of each input without the batch at which MACs count, if the model takes them.

    Returns:
        "sizes"; "macs" per sample, None if a size is open; "params"; "widths", from the name of
        each layer that makes channels to their number.
    """
    sizes = sizes_that_fit(model, sizes)
    model = opened(model)
    analysis = analyze_at(sizes, model)
    widths: dict[str, int] = {}
    params = 0
    for layer in map(unwrap, layers(model)):
        inner = layer
        while isinstance(getattr(inner, "layer", None), keras.layers.Layer):
            inner = inner.layer  # tfmot's wrapper for quantization, SpectralNormalization...
        params += inner.count_params() if inner.weights else 0
        width = next(
            (
                getattr(inner, key)
                for key in ("filters", "units", "output_dim")
                if key in vars(inner)
            ),
            None,
        )
        if width is not None:
            widths[layer.name.removeprefix("quant_")] = int(width)
    return {
        "sizes": None if sizes is None else [list(each) for each in sizes],
        "macs": analysis.macs if analysis.fixed_size else None,
        "params": params,
        "widths": widths,
    }


def remember(model: keras.Model, pruned: keras.Model) -> None:
    """Lets a model know what it was made from, until it is saved or cloned.

    Args:
        model: The small model.
        pruned: The one that it was made from, which knows more if it is not the first.
    """
    (conductor,) = (wrapper for wrapper in find_wrappers(pruned) if wrapper.conductor)
    last = describe(pruned, conductor.input_sizes)
    # Past Keras, which would track and save it.
    vars(model)[_REMEMBERED] = {"first": conductor.origin or last, "last": last}


def origin(model: keras.Model) -> dict[str, Any] | None:
    """What `describe` said of the model that this one was pruned from first; None if it was not."""
    return vars(model).get(_REMEMBERED, {}).get("first")


def pruned_from(
    model: keras.Model, original: keras.Model | None, sizes: Sequence[Sizes] | None = None
) -> dict[str, Any] | None:
    """What was pruned, counted on the models themselves.

    Args:
        model: The small model, fine-tuned or wrapped for quantization since.
        original: The model before pruning; None for what `shrink` remembers.
        sizes: Those of each input without the batch at which MACs are compared with an original's.

    Returns:
        "speedup", the ratio of MACs, None if a size is open; "macs" and "params", each [before,
        after]; "layers", from the names of the layers that changed to their channels [before,
        after]. Before means before the first pruning; if there was more than one, "last_round"
        has the same since the last. None if there is nothing to compare with.
    """
    if original is not None:
        return _compared(describe(original, sizes), model)
    known = vars(model).get(_REMEMBERED)
    if known is None:
        return None
    found = _compared(known["first"], model)
    if known["last"] != known["first"]:
        found["last_round"] = _compared(known["last"], model)
    return found


def _compared(before: dict[str, Any], model: keras.Model) -> dict[str, Any]:
    after = describe(model, before["sizes"])
    known = before["macs"] and after["macs"]
    old, new = before["widths"], after["widths"]
    return {
        "speedup": round(before["macs"] / after["macs"], 4) if known else None,
        "macs": [before["macs"], after["macs"]],
        "params": [before["params"], after["params"]],
        "layers": {
            name: [old[name], new[name]] for name in old if name in new and old[name] != new[name]
        },
    }
