"""A second opinion on `spp.analyze`: what TensorFlow's profiler counts in a model's graph."""

import math

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.profiler.model_analyzer import profile
from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

_COUNTED = ("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul")


def counts(model: keras.Model) -> tuple[float, int]:
    """MACs per sample of convolutions and matrix products, and the parameters that are read."""
    graph = _graph(model)
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation())
    options = options.with_empty_output().with_accounted_types(_COUNTED).build()
    root = profile(graph, cmd="op", options=options)
    operations = sum(node.float_ops for node in _all(root) if node.name in _COUNTED)
    macs = operations / 2 - _of_padding(graph)
    return macs, sum(math.prod(variable.shape) for variable in graph.variables)


def _of_padding(graph: tf.Graph) -> int:
    """MACs at positions that TensorFlow adds to cut a map into parts, for a dilated kernel."""
    added = 0
    for joined in graph.get_operations():
        if joined.type == "BatchToSpaceND" and (part := joined.inputs[0].op).type in _COUNTED:
            height, width, inputs, _ = part.inputs[1].shape
            positions = (
                part.outputs[0].shape.num_elements() - joined.outputs[0].shape.num_elements()
            )
            added += positions * height * width * (inputs if part.type == "Conv2D" else 1)
    return added


def _graph(model: keras.Model) -> tf.Graph:
    specs = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    function = tf.function(lambda *x: model(x if len(x) > 1 else x[0], training=False))
    # Keras puts grouped convolutions into functions of their own, which the profiler skips:
    # this puts their bodies into the graph.
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        return function.get_concrete_function(*specs).graph
    finally:
        tf.config.run_functions_eagerly(before)


def _all(node):
    yield node
    for child in node.children:
        yield from _all(child)
