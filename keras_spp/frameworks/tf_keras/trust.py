"""Checks the names in the configuration of a saved model: only objects that compute may be there.

tf_keras makes objects from the names in a configuration. It looks them up among registered objects,
in tables of its own, and in any module, which it imports for that. This module looks them up first,
without importing anything: every object of a configuration under every name that tf_keras might
use. The result must be registered by the user, come from a module that the user vouches for, or be
of a kind that only computes; so neither its place in the configuration matters nor who reads it.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.private import (
    accuracy_metrics,
    activations,
    base_layer,
    cell_wrappers,
    constraints,
    get_canonical_name_for_symbol,
    get_symbol_from_name,
    index_lookup,
    initializers,
    input_spec,
    learning_rate_schedule,
    losses,
    metrics,
    pruning_wrapper,
    quantize_annotate,
    quantize_layer,
    quantize_wrapper,
    regression_metrics,
    regularizers,
    retrieve_class_or_fn,
    tf_op_layer,
)
from keras_spp.frameworks.tf_keras.private import layer_serialization as layers

# Functions of TensorFlow that only compute: by namespace, or by name where there is none.
_COMPUTES = re.compile(
    r"(compat\.v[12]\.)?((__operators__|math|nn|linalg|image|signal|strings|sparse|ragged"
    r"|sets|bitwise|quantization|audio|dtypes|keras\.activations)\.\w+"
    r"|nn\.experimental\.stateless_dropout"
    # Others of these change a state of the process, or print.
    r"|(random|keras\.backend)\.(?!(set|get|batch_set|create|clear|reset|enable|disable|manual)_)"
    r"(?!learning_phase|print_|function$|variable$)\w+"
    # Protocol buffers would be described by a file.
    r"|io\.(decode|encode|parse)_(?!proto)\w+"
    r"|argsort|batch_to_space|bitcast|boolean_mask|broadcast_to|case|cast|clip_by_\w+|complex"
    r"|concat|convert_to_tensor|cumsum|depth_to_space|dynamic_\w+|einsum|ensure_shape|expand_dims"
    r"|eye|fill|gather\w*|identity|linspace|meshgrid|norm|one_hot|ones|ones_like|pad|range|rank"
    r"|repeat|reshape|reverse|reverse_sequence|roll|scatter_nd|searchsorted|sequence_mask|shape"
    r"|size|slice|sort|space_to_\w+|split|squeeze|stack|stop_gradient|strided_slice"
    r"|tensor_scatter_nd_\w+|tensordot|tile|transpose|truncate\w+|unique\w*|unstack|where|zeros"
    r"|zeros_like)"
)
# Functions of Keras that only compute; others download, read, write and load.
_KERAS_COMPUTES = re.compile(
    r"keras\.((activations|losses|metrics|regularizers|layers)\.(?!(de)?serialize$|get$)\w+|Input)"
)
_METRICS = (accuracy_metrics.__name__, regression_metrics.__name__)  # some have no public name
_OURS = ("tf_keras", "keras_spp", "tensorflow_model_optimization")
_KINDS = (
    keras.layers.Layer,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.optimizers.legacy.Optimizer,
    keras.mixed_precision.LossScaleOptimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.mixed_precision.Policy,
    input_spec.InputSpec,
    tf.TypeSpec,
    tfmot.sparsity.keras.PruningSchedule,
    tfmot.quantization.keras.QuantizeConfig,
    tfmot.quantization.keras.quantizers.Quantizer,
)
_NAMESPACES = (
    *(activations, constraints, regularizers, losses, metrics, learning_rate_schedule),
    *(pruning_wrapper, quantize_annotate, quantize_layer, quantize_wrapper),
)
_READS = (index_lookup.IndexLookup, keras.layers.TextVectorization)
_CALLS_METHODS = (
    tf_op_layer.ClassMethod,
    tf_op_layer.InstanceMethod,
    base_layer.TensorFlowOpLayer,
)
_CALLS_FUNCTIONS = {
    cell_wrappers.DropoutWrapper: "dropout_fn",
    cell_wrappers.ResidualWrapper: "residual_fn",
}


class Untrusted(Exception):
    """The part of a file that would run if it were loaded."""


def quoted(name: Any) -> str:
    r"""Returns a name from a file quoted and cut, safe for a message whatever is in it.

    Example:
        >>> quoted("a\nb"), quoted("a" * 10**6) == repr("a" * 60)
        ("'a\\nb'", True)
    """
    return repr(str(name)[:60])


def check_config(config: Any, modules: Sequence[str] = ()) -> None:
    """Raises Untrusted if objects made from a configuration could do more than compute.

    Example:
        >>> check_config({"class_name": "Dense", "config": {"activation": "relu"}})
        >>> check_config({"class_name": "Lambda", "config": {"name": "double"}})
        Traceback (most recent call last):
        keras_spp.frameworks.tf_keras.trust.Untrusted: the layer 'double' is a Lambda
    """
    pending = [config]  # not recursive: a file can nest its configuration arbitrarily deep
    while pending:
        entry = pending.pop()
        if isinstance(entry, list | tuple):
            pending.extend(entry)
        elif isinstance(entry, dict):
            pending.extend(entry.values())
            if "class_name" in entry:
                _check_object(entry, modules)


def candidates(entry: Any) -> list[Any]:
    """Returns all objects that tf_keras might make of a configuration; nothing is imported.

    Raises:
        Untrusted: If only an import could tell.

    Example:
        >>> candidates({"class_name": "Dense", "config": {}}) == [keras.layers.Dense]
        True
    """
    if not isinstance(entry, dict) or "class_name" not in entry:
        return []
    kind = _decode(entry["class_name"])
    declared = [kind, entry.get("registered_name"), entry.get("spec_name")]
    if kind == "function":
        declared.append(entry.get("config"))
    names = [name for name in dict.fromkeys(map(_decode, declared)) if name]
    registered = {name: keras.saving.get_registered_object(name) for name in names}
    objects = [item for item in registered.values() if item is not None]
    key = entry.get("config") if kind == "function" else entry.get("registered_name", kind)
    if registered.get(_decode(key)) is None:  # else it takes precedence
        objects += _in_module(entry.get("module"), names, wanted=_looked_up_name(entry))
    unregistered = [name for name in names if registered[name] is None]
    objects += [table[name] for table in _tables() for name in unregistered if name in table]
    return objects


def _check_object(entry: dict[Any, Any], modules: Sequence[str]) -> None:
    if entry["class_name"] == "__lambda__":
        raise Untrusted("it holds a Python lambda")
    if entry["class_name"] == "VocabularyFileCategoricalColumn":
        raise Untrusted("a column of features reads a file")
    for item in candidates(entry):
        if not (_is_registered(item) or _is_vouched_for(item, modules) or _only_computes(item)):
            raise Untrusted(_refusal(entry))
        if isinstance(item, type):
            _check_layer(item, entry.get("config"))


def _refusal(entry: dict[Any, Any]) -> str:
    module = entry.get("module")
    of = f" of the module {quoted(module)}" if module else ""
    return (
        f"it names {quoted(_looked_up_name(entry))}{of}, which is neither known to only compute "
        "nor of a module given as --import"
    )


def _looked_up_name(entry: dict[Any, Any]) -> str:
    """Returns the name that tf_keras looks up in the module."""
    kind = _decode(entry["class_name"])
    return _decode(entry.get({"function": "config", "__typespec__": "spec_name"}.get(kind)) or kind)


def _decode(name: Any) -> str:
    """Returns a name as tf_keras compares it: SavedModels may hold it as bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")


def _in_module(module: Any, names: Sequence[str], wanted: str) -> Iterator[Any]:
    if not isinstance(module, str) or not module:
        return
    # As tf_keras does it, which also makes tf_keras_spp of keras_spp.
    imported = sys.modules.get(f"tf_{module}" if module.startswith("keras") else module)
    if "." in wanted or (imported is None and not _in_api(module, wanted)):
        raise Untrusted(_refusal({"class_name": wanted, "module": module}))
    for name in names:
        if (imported is not None and "." not in name) or _in_api(module, name):
            for kind in ("class", "function"):
                try:
                    yield retrieve_class_or_fn(name, name, module, kind, full_config="")
                except TypeError:  # the module has no such name
                    continue


def _in_api(module: str, name: str) -> bool:
    return re.match(r"(tf_)?keras\b", module) is not None and (
        get_symbol_from_name(f"{module}.{name}") is not None
    )


def _tables() -> list[dict[str, Any]]:
    """Returns the tables in which tf_keras and tfmot look up a name without a module.

    Those of optimizers and policies are left out: they hold nothing else.
    """
    layers.populate_deserializable_objects()
    initializers.populate_deserializable_objects()
    return [layers.LOCAL.ALL_OBJECTS, initializers.LOCAL.ALL_OBJECTS, *map(vars, _NAMESPACES)]


def _is_registered(item: Any) -> bool:
    return any(item is registered for registered in _registry().values())


def _registry() -> dict[str, Any]:
    return {**keras.saving.get_custom_objects(), **private.objects_in_scope()}


def _is_vouched_for(item: Any, modules: Sequence[str]) -> bool:
    """Tells whether one of the modules defines an object, not merely imports it, like `os`."""
    own = f"{getattr(item, '__module__', None)}."
    return not isinstance(item, types.ModuleType) and own.startswith(
        tuple(f"{module}." for module in modules)
    )


def _only_computes(item: Any) -> bool:
    if isinstance(item, type):
        return issubclass(item, _KINDS) and (issubclass(item, tf.TypeSpec) or _is_ours(item))
    if not isinstance(item, types.FunctionType):
        return False
    if name := _keras_name(item):
        return _KERAS_COMPUTES.fullmatch(name) is not None
    name = get_canonical_name_for_symbol(item, add_prefix_to_v1_names=True)
    return item.__module__ in _METRICS or _COMPUTES.fullmatch(name or "") is not None


def _is_ours(item: type) -> bool:
    package = item.__module__.partition(".")[0]
    if package != "tf_keras" or not issubclass(item, keras.layers.Layer):
        return package in _OURS
    # Layers that nobody can name load a SavedModel, or call a method of something.
    return _keras_name(item) is not None or _is_in_tables(item)


def _keras_name(item: Any) -> str | None:
    return get_canonical_name_for_symbol(item, api_name="keras")


def _is_in_tables(item: type) -> bool:
    return any(item is listed for table in _tables() for listed in table.values())


def _check_layer(kind: type, config: Any) -> None:
    """Raises Untrusted if this kind of layer calls or reads what its configuration names."""
    config = config if isinstance(config, dict) else {}
    layer = f"the layer {quoted(config.get('name'))}"
    if kind is keras.layers.Lambda:
        raise Untrusted(f"{layer} is a Lambda")
    if issubclass(kind, _CALLS_METHODS):
        raise Untrusted(f"{layer} is a {kind.__name__}")
    if issubclass(kind, tf_op_layer.TFOpLambda):
        function = str(config.get("function"))
        if not _COMPUTES.fullmatch(function):
            raise Untrusted(f"{layer} calls {quoted(f'tf.{function}')}")
    if any(issubclass(kind, cell) and key in config for cell, key in _CALLS_FUNCTIONS.items()):
        raise Untrusted(f"{layer} is a {kind.__name__} of a function")
    if issubclass(kind, _READS) and isinstance(config.get("vocabulary"), str):
        raise Untrusted(f"{layer} reads the file {quoted(config['vocabulary'])}")
