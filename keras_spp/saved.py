"""Saved models: loading them without running code that came with them, and saving them.

The safe mode of tf_keras refuses Python lambdas, in .keras files only. A model's configuration can
do more: name any module to import, any function of TensorFlow (`tf.io.write_file`,
`tf.load_op_library`) and the arguments to call it with while the model is put together. So the
configuration is read before tf_keras sees it, and what is not known to compute is refused.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf
import tf_keras as keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.util.tf_export import get_symbol_from_name
from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata
from tf_keras.src.saving.serialization_lib import SafeModeScope

from keras_spp.causes import first_line

# Functions of TensorFlow that only compute: by namespace, and of those without one by name.
_COMPUTES = re.compile(
    r"(compat\.v[12]\.)?((__operators__|math|nn|linalg|image|signal|strings|random|sparse|ragged"
    r"|sets|bitwise|quantization|audio|dtypes|keras\.activations|keras\.backend)\.\w+"
    r"|io\.(decode|encode|parse)_\w+"
    r"|argsort|batch_to_space|bitcast|boolean_mask|broadcast_to|case|cast|clip_by_\w+|complex"
    r"|concat|convert_to_tensor|cumsum|depth_to_space|dynamic_\w+|einsum|ensure_shape|expand_dims"
    r"|eye|fill|gather\w*|identity|linspace|meshgrid|norm|one_hot|ones|ones_like|pad|range|rank"
    r"|repeat|reshape|reverse|reverse_sequence|roll|scatter_nd|searchsorted|sequence_mask|shape"
    r"|size|slice|sort|space_to_\w+|split|squeeze|stack|stop_gradient|strided_slice"
    r"|tensor_scatter_nd_\w+|tensordot|tile|transpose|truncate\w+|unique\w*|unstack|where|zeros"
    r"|zeros_like)"
)
# Operations of a SavedModel's graph that reach beyond it.
_REACHES_OUT = re.compile(r"(WriteFile|\w*PyFunc\w*|Print\w*|\w*Summary\w*|\w*SaveDataset\w*)")
_OURS = ("tf_keras", "keras_spp", "tensorflow_model_optimization")
_VALUES = ("__tensor__", "__numpy__", "__bytes__")


class _Untrusted(Exception):
    """Says what in a file would run if it were loaded."""


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    allow_code: bool = False,
    modules: Sequence[str] = (),
) -> keras.Model:
    """`keras.models.load_model` that names a file which is damaged, or would run code.

    Args:
        path: A .keras or .h5 file, or the folder of a SavedModel.
        compile: Whether to restore the loss and the optimizer with its state too.
        allow_code: Whether code in the file may run, such as that of Lambda layers.
        modules: Modules that were imported for it: what they define is not the file's code.

    Returns:
        The model. A pruned one goes on where it was saved.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it holds code, names what is not known to be harmless, or is no whole model.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "dense.h5")
        >>> keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]).save(path)
        >>> load_model(path).count_params()
        8
    """
    name, path = repr(os.fspath(path)), Path(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a saved model but {name} does not exist.")
    try:
        if allow_code:
            return keras.models.load_model(path, compile=compile, safe_mode=False)
        for config in _configs(path):
            _check(config, modules)
        # Of itself tf_keras checks only .keras files for lambdas.
        with SafeModeScope(True):
            return keras.models.load_model(path, compile=compile)
    except _Untrusted as error:
        raise ValueError(
            f"`path` is {name}, which would run code ({error}): load it with --allow-code, or "
            "allow_code=True, if you trust where it comes from."
        ) from None
    except Exception as error:  # damaged files end in any kind of exception
        problem = first_line(error).partition(". ")[0]
        remedy = "take an earlier one or write it anew"
        if _is_keras_3(path):
            problem, remedy = "it was saved by Keras 3", "rebuild it with tf_keras"
        elif not isinstance(error, OSError):
            remedy += ", and import the modules of its custom layers first (keras-spp: --import)"
        raise ValueError(
            f"`path` is {name}, which is not a model that tf_keras can load ({problem}): {remedy}."
        ) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as .keras or .h5, by the suffix.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "dense.h5")
        >>> model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        >>> save_model(model, path)
        >>> load_model(path).count_params()
        8
    """
    if path.suffix == ".h5":  # in memory first: HDF5 does not say when a disk is full
        with h5py.File(content := io.BytesIO(), "w") as file:
            model.save(file)
        path.write_bytes(content.getvalue())
    else:
        model.save(path)


def _is_keras_3(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False
    return not str(version).startswith("2.")


def _configs(path: Path) -> Iterator[Any]:
    """All that tf_keras might make layers from; files can be of two formats at once."""
    if path.is_dir():
        yield from _saved_model(path)
        return
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield json.loads(archive.read("config.json"))
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            for name in ("model_config", "training_config"):
                if name in file.attrs:
                    yield json.loads(file.attrs[name])


def _saved_model(folder: Path) -> Iterator[Any]:
    """The configurations in a SavedModel, whose graphs are checked on the way."""
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        library = graph.graph_def.library.function
        bodies = [graph.graph_def.node, *(function.node_def for function in library)]
        for node in (node for body in bodies for node in body):
            if _REACHES_OUT.fullmatch(node.op):
                raise _Untrusted(f"its graph has the operation {node.op}")
        if not graph.HasField("object_graph_def"):
            raise _Untrusted("it runs a graph of TensorFlow 1 when it is loaded")
        for node in graph.object_graph_def.nodes:
            if node.WhichOneof("kind") == "resource":
                raise _Untrusted("it initializes a table or another resource when it is loaded")
            if node.user_object.metadata:
                yield json.loads(node.user_object.metadata)
    if (folder / "keras_metadata.pb").exists():
        metadata = SavedMetadata.FromString((folder / "keras_metadata.pb").read_bytes())
        for entry in metadata.nodes:
            yield json.loads(entry.metadata)


def _check(config: Any, modules: Sequence[str]) -> None:
    """Raises _Untrusted if objects made from a configuration could do more than compute."""
    if isinstance(config, list):
        for entry in config:
            _check(entry, modules)
    if not isinstance(config, dict):
        return
    kind, inner = config.get("class_name"), config.get("config")
    if isinstance(kind, str):
        _check_object(kind, config, modules)
        if isinstance(inner, dict):
            _check_layer(kind, inner)
    for entry in config.values():
        _check(entry, modules)


def _check_object(kind: str, config: dict[str, Any], modules: Sequence[str]) -> None:
    name = {"function": config.get("config"), "__typespec__": config.get("spec_name")}
    if kind == "__lambda__":
        raise _Untrusted("it holds a Python lambda")
    if kind not in _VALUES and not _is_known(name.get(kind, kind), config, modules):
        raise _Untrusted(
            f"it names {name.get(kind, kind)!r} of the module {config['module']!r}, which was not "
            "given as --import"
        )


def _is_known(name: Any, config: dict[str, Any], modules: Sequence[str]) -> bool:
    module = config.get("module")
    if module is None or _is_the_users(config, modules):  # without a module only what is registered
        return True
    if not isinstance(module, str) or not isinstance(name, str) or "." in name:
        return False
    if module == "builtins":  # means functions of Keras, but leads on to Python's
        return not hasattr(builtins, name)
    module = re.sub(r"^keras\b", "tf_keras", module)
    if get_symbol_from_name(f"{module}.{name}".replace("tf_keras", "keras", 1)) is not None:
        return module.startswith("tf_keras")
    found = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type) and issubclass(found, tf.TypeSpec):
        return True
    # What a module has merely imported, such as `os`, is not its own.
    own = getattr(found, "__module__", None) or ""
    return {module.partition(".")[0], own.partition(".")[0]}.issubset(_OURS) and callable(found)


def _is_the_users(config: dict[str, Any], modules: Sequence[str]) -> bool:
    """Whether this process knows the object: registered, or of a module imported for the model."""
    names = [config.get("registered_name"), config.get("config")]
    known = any(
        isinstance(name, str) and keras.saving.get_registered_object(name) for name in names
    )
    return bool(known) or config.get("module") in modules


def _check_layer(kind: str, inner: dict[str, Any]) -> None:
    name = inner.get("name")
    if kind == "Lambda":
        raise _Untrusted(f"the layer {name!r} is a Lambda")
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = str(inner.get("function"))
        if not _COMPUTES.fullmatch(function):
            raise _Untrusted(f"the layer {name!r} calls tf.{function}")
    if kind in ("ClassMethod", "InstanceMethod", "TensorFlowOpLayer"):
        raise _Untrusted(f"the layer {name!r} is a {kind}")
