"""What an exported file says about itself: the version, and what was pruned."""

from __future__ import annotations

import json
import os
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_spp.util.files import read_file

NAME = "keras_spp"
_FORMAT = b"TFL3"


class _Builder(flatbuffers.Builder):
    """A builder that aligns vectors as the schema wants buffers: Python's knows no force_align."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        return super().StartVector(elemSize, numElems, 16)


def with_metadata(buffer: bytes | bytearray, info: dict[str, Any]) -> bytearray:
    """Returns the content of a TFLite file with `info` as a metadata entry, in JSON."""
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
    """Returns what `export_tflite` has written into a file about it.

    Args:
        path: A TFLite file.

    Returns:
        "keras_spp", the version; "model", its name; "quantization"; "pruned", the MACs, parameters
        and layers before and after, or None where they were not known; and "columns", for each
        convolution with pruned columns how many are left, how many there were, and how the file
        computes it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no TFLite file, or keras_spp did not write it.

    Example:
        >>> import os, tempfile
        >>> import tf_keras as keras, keras_spp as spp
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
                info = json.loads(file.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
                return {**info}
    except Exception as error:  # offsets that lead nowhere end in any kind of exception
        raise ValueError(
            f"`path` must be a whole TFLite file but {str(path)!r} is damaged: export it again."
        ) from error
    raise ValueError(
        f"`path` must be a file that spp.export_tflite has written but {str(path)!r} has no "
        f"metadata of {NAME}."
    )
