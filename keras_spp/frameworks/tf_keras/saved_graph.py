"""Checks that the operations of a SavedModel's graphs only compute."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

from keras_spp.frameworks.tensorflow.private import op_def_registry
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.private import (
    CapturableResource,
    get_registered_class,
    json_utils,
)
from keras_spp.frameworks.tf_keras.trust import Untrusted, quoted

# Operations whose state belongs to the model: variables, tables, random numbers.
_KEEPS_STATE = re.compile(
    r"VarHandleOp|VarIsInitializedOp|VariableShape|Assign(Add|Sub)?VariableOp|ReadVariableOp"
    r"|_ReadVariablesOp|_VarHandlesOp|DisableCopyOnRead|DestroyResourceOp"
    r"|Resource(Gather|Scatter|StridedSlice|Apply|SparseApply|CountUpTo)\w*"
    r"|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?"
    r"|LookupTable\w+V2|InitializeTableV2|TensorArray\w*|Stack\w*|CudnnRNN\w*"
    r"|Random\w+|Stateful(Standard|Uniform|Truncated|Random)\w+|StatelessRandomGetAlg|Rng\w+"
    r"|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal|NonDeterministicInts"
    r"|\w+CandidateSampler|SampleDistortedBoundingBox(V2)?"
    r"|StatefulPartitionedCall|If|While|Case|Assert|CheckNumerics(V2)?|Empty|DeepCopy"
    # A dataset to iterate over would have to be made by an operation that is none of these.
    r"|IteratorGetNext(Sync|AsOptional)?|GuaranteeConst|IsTensorFloat32Enabled|_Arg|_Retval"
)
# Operations without a state that still reach beyond the model.
_REACHES_OUT = re.compile(
    r"PyFunc\w*|Abort|ReadFile|MatchingFiles|InitializeTableFromTextFile|\w*Dataset\w*|Debug\w*"
    r"|Reader\w+|\w*Summary\w*|(En|De)codeProto\w*|\w*CustomCall\w*|TPU\w*|Tpu\w*"
)
# Operations that save the model's own variables; only TensorFlow's saver may call them.
_SAVES = ("SaveV2", "MergeV2Checkpoints", "RestoreV2")
_RUNS_ON_LOADING = ("_create_resource", "_initialize", "_destroy_resource")


def saved_model_configs(folder: Path) -> Iterator[Any]:
    """Yields the configurations in a SavedModel, and checks its graphs.

    Raises:
        Untrusted: If an operation reaches beyond the model, or runs while it is loaded.
    """
    for graph in private.internal.saved_model.parse_saved_model(os.fspath(folder)).meta_graphs:
        if not graph.HasField("object_graph_def"):
            raise Untrusted("it runs a graph of TensorFlow 1 when it is loaded")
        _check_graph(graph)
        for node in graph.object_graph_def.nodes:
            _check_node(node)
            if node.user_object.metadata:
                yield json_utils.decode(node.user_object.metadata)
    if (folder / "keras_metadata.pb").exists():
        metadata = SavedMetadata.FromString((folder / "keras_metadata.pb").read_bytes())
        for entry in metadata.nodes:
            yield json_utils.decode(entry.metadata)


def _check_node(node: Any) -> None:
    kind = get_registered_class(node.registered_name)
    if (
        node.WhichOneof("kind") == "resource"
        or (isinstance(kind, type) and issubclass(kind, CapturableResource))
        or any(child.local_name in _RUNS_ON_LOADING for child in node.children)
    ):
        raise Untrusted("it initializes a table or another resource when it is loaded")


def _check_graph(graph: Any) -> None:
    library = graph.graph_def.library
    bodies = {function.signature.name: function for function in library.function}
    listed = (*library.gradient, *library.registered_gradients)
    gradients = [entry.gradient_func for entry in listed]
    called = _reachable([*graph.object_graph_def.concrete_functions, *gradients], bodies)
    for name, function in bodies.items():
        _check_operations(function.node_def, bodies, may_save=name not in called)
    _check_operations(graph.graph_def.node, bodies, may_save=True)


def _reachable(names: Iterable[str], bodies: dict[str, Any]) -> set[str]:
    """Returns the functions that these can call, directly or not."""
    called: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in bodies and name not in called:
            called.add(name)
            for node in bodies[name].node_def:
                pending.append(node.op)
                for value in node.attr.values():
                    pending += [value.func.name, *(func.name for func in value.list.func)]
    return called


def _check_operations(nodes: Any, bodies: dict[str, Any], may_save: bool) -> None:
    for node in nodes:
        definition = op_def_registry.get(node.op)
        if definition is None:  # it may be a function of the graph
            computes = node.op in bodies
        elif _KEEPS_STATE.fullmatch(node.op) or (may_save and node.op in _SAVES):
            computes = True
        else:
            computes = not (definition.is_stateful or _REACHES_OUT.fullmatch(node.op))
        if not computes:
            raise Untrusted(f"its graph has the operation {quoted(node.op)}")
