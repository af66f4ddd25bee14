"""What the configuration of a saved model may name without permission: what only computes.

tf_keras makes objects of what a configuration names. It looks names up among what is registered, in
tables of its own, and in any module, which it imports for that. Here the same is looked up first,
without importing anything: every object of a configuration under every name by which tf_keras might
take it. What is found must be registered by the user, be of a module that the user vouches for, or
be of a kind that only computes; so neither the place in the configuration matters nor who reads it.
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

# Functions of TensorFlow that only compute: by namespace, and of those without one by name.
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
    """Says what in a file would run if it were loaded."""


def quoted(name: Any) -> str:
    r"""A name from a file as it can stand in a sentence, however long it is and whatever is in it.

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
    open_ends = [config]  # not recursive: a configuration may be nested as deep as its file is long
    while open_ends:
        entry = open_ends.pop()
        if isinstance(entry, list | tuple):
            open_ends.extend(entry)
        elif isinstance(entry, dict):
            open_ends.extend(entry.values())
            if "class_name" in entry:
                _check_object(entry, modules)


def found_under(entry: Any) -> list[Any]:
    """All that tf_keras might take an object's configuration for; nothing is imported for it.

    Raises:
        Untrusted: If only an import could tell.

    Example:
        >>> found_under({"class_name": "Dense", "config": {}}) == [keras.layers.Dense]
        True
    """
    if not isinstance(entry, dict) or "class_name" not in entry:
        return []
    kind = _text(entry["class_name"])
    given = [kind, entry.get("registered_name"), entry.get("spec_name")]
    if kind == "function":
        given.append(entry.get("config"))
    names = [name for name in dict.fromkeys(map(_text, given)) if name]
    registered = {name: keras.saving.get_registered_object(name) for name in names}
    found = [known for known in registered.values() if known is not None]
    key = entry.get("config") if kind == "function" else entry.get("registered_name", kind)
    if registered.get(_text(key)) is None:  # by this name alone what is registered comes first
        found += _in_module(entry.get("module"), names, wanted=_wanted(entry))
    new = [name for name in names if registered[name] is None]
    found += [table[name] for table in _tables() for name in new if name in table]
    return found


def _check_object(entry: dict[Any, Any], modules: Sequence[str]) -> None:
    if entry["class_name"] == "__lambda__":
        raise Untrusted("it holds a Python lambda")
    if entry["class_name"] == "VocabularyFileCategoricalColumn":
        raise Untrusted("a column of features reads a file")
    for found in found_under(entry):
        if not (_is_registered(found) or _is_given(found, modules) or _only_computes(found)):
            raise Untrusted(_unknown(entry))
        if isinstance(found, type):
            _check_layer(found, entry.get("config"))


def _unknown(entry: dict[Any, Any]) -> str:
    module = entry.get("module")
    of = f" of the module {quoted(module)}" if module else ""
    return (
        f"it names {quoted(_wanted(entry))}{of}, which is neither known to only compute nor of a "
        "module given as --import"
    )


def _wanted(entry: dict[Any, Any]) -> str:
    """The name that is looked up in the module."""
    kind = _text(entry["class_name"])
    return _text(entry.get({"function": "config", "__typespec__": "spec_name"}.get(kind)) or kind)


def _text(name: Any) -> str:
    """A name as tf_keras compares it: SavedModels may hold it as bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")


def _in_module(module: Any, names: Sequence[str], wanted: str) -> Iterator[Any]:
    if not isinstance(module, str) or not module:
        return
    # tf_keras does the same: also keras_spp becomes tf_keras_spp by it.
    imported = sys.modules.get(f"tf_{module}" if module.startswith("keras") else module)
    if "." in wanted or (imported is None and not _in_api(module, wanted)):
        raise Untrusted(_unknown({"class_name": wanted, "module": module}))
    for name in names:
        if (imported is not None and "." not in name) or _in_api(module, name):
            for kind in ("class", "function"):
                try:
                    yield retrieve_class_or_fn(name, name, module, kind, full_config="")
                except TypeError:  # nothing has that name there
                    continue


def _in_api(module: str, name: str) -> bool:
    return re.match(r"(tf_)?keras\b", module) is not None and (
        get_symbol_from_name(f"{module}.{name}") is not None
    )


def _tables() -> list[dict[str, Any]]:
    """Where tf_keras and tfmot look up a name that comes without a module.

    Without those of optimizers and policies, which hold nothing else.
    """
    layers.populate_deserializable_objects()
    initializers.populate_deserializable_objects()
    return [layers.LOCAL.ALL_OBJECTS, initializers.LOCAL.ALL_OBJECTS, *map(vars, _NAMESPACES)]


def _is_registered(found: Any) -> bool:
    return any(found is known for known in _registry().values())


def _registry() -> dict[str, Any]:
    return {**keras.saving.get_custom_objects(), **private.objects_in_scope()}


def _is_given(found: Any, modules: Sequence[str]) -> bool:
    """Whether one of them defines it: what they have imported, such as `os`, is not theirs."""
    own = f"{getattr(found, '__module__', None)}."
    return not isinstance(found, types.ModuleType) and own.startswith(
        tuple(f"{module}." for module in modules)
    )


def _only_computes(found: Any) -> bool:
    if isinstance(found, type):
        return issubclass(found, _KINDS) and (issubclass(found, tf.TypeSpec) or _is_ours(found))
    if not isinstance(found, types.FunctionType):
        return False
    if name := _keras_name(found):
        return _KERAS_COMPUTES.fullmatch(name) is not None
    name = get_canonical_name_for_symbol(found, add_prefix_to_v1_names=True)
    return found.__module__ in _METRICS or _COMPUTES.fullmatch(name or "") is not None


def _is_ours(found: type) -> bool:
    package = found.__module__.partition(".")[0]
    if package != "tf_keras" or not issubclass(found, keras.layers.Layer):
        return package in _OURS
    # Layers that nobody can name load a SavedModel, or call a method of something.
    return _keras_name(found) is not None or _is_in_tables(found)


def _keras_name(found: Any) -> str | None:
    return get_canonical_name_for_symbol(found, api_name="keras")


def _is_in_tables(found: type) -> bool:
    return any(found is known for table in _tables() for known in table.values())


def _check_layer(kind: type, config: Any) -> None:
    """Raises Untrusted if this kind of layer calls, or reads, what its configuration says."""
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
