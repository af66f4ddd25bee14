"""The private names of tfmot, Keras and TensorFlow that the package relies on."""

import inspect

import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.keras import utils
from tensorflow_model_optimization.python.core.sparsity.keras import (
    prunable_layer,
    prune_registry,
    pruning_callbacks,
    pruning_wrapper,
)
from tf_keras.src.engine import functional
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from keras_spp.frameworks.tf_keras.graph import find_wrappers
from keras_spp.frameworks.tf_keras.private import PruneLowMagnitude
from keras_spp.frameworks.tf_keras.variables import raw
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from tests.helpers.training import (
    conv_net,
    prune,
)
from tests.zoo.models import L

sparsity = tfmot.sparsity.keras
pytestmark = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


def test_private_names_of_tfmot_that_are_relied_on():
    assert issubclass(PruneSPP, pruning_wrapper.PruneLowMagnitude)
    assert PruneLowMagnitude is pruning_wrapper.PruneLowMagnitude
    arguments = inspect.signature(PruneLowMagnitude.__init__).parameters
    assert {"layer", "pruning_schedule", "kwargs"} <= set(arguments)
    assert list(inspect.signature(utils.smart_cond).parameters)[:3] == [
        "pred",
        "true_fn",
        "false_fn",
    ]
    assert utils.smart_cond(True, lambda: 1, lambda: 2) == 1
    assert prune_registry.PruneRegistry.supports(L.Conv2D(1, 1))
    assert not prune_registry.PruneRegistry.supports(L.Conv1DTranspose(1, 1))
    assert prunable_layer.PrunableLayer.get_prunable_weights
    for name in ("trainable", "trainable_weights", "non_trainable_weights", "losses", "updates"):
        assert isinstance(getattr(PruneLowMagnitude, name), property), name
    stock = PruneLowMagnitude(L.Dense(2), sparsity.ConstantSparsity(0.5, 0))
    stock.build((None, 3))
    assert stock.name == "prune_low_magnitude_dense"
    ours = find_wrappers(prune())[0]
    for attribute in ("pruning_obj", "pruning_vars", "pruning_step", "prunable_weights"):
        # tfmot's callbacks use these of each wrapper that they find.
        assert hasattr(stock, attribute) and hasattr(ours, attribute), attribute
    assert {len(entry) for entry in (*stock.pruning_vars, *ours.pruning_vars)} == {3}
    # The wrapper's own call and build are replaced: UpdatePruningStep must need nothing else.
    source = inspect.getsource(pruning_callbacks.UpdatePruningStep)
    methods = [name for name in dir(stock.pruning_obj) if not name.startswith("_")]
    assert [name for name in methods if f".{name}(" in source] == ["weight_mask_op"]


def test_private_names_of_keras_that_are_relied_on():
    model = conv_net()
    assert model._is_graph_network
    assert model._nested_inputs is not None and model._nested_outputs is not None
    assert functional.has_functional_like_constructor(type(model))
    assert set(model.layers) < set(model._flatten_layers())
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    assert [node.layer.name for node in nodes if node.is_input] == ["image"]
    node = next(node for node in nodes if node.layer.name == "inner")
    assert node.call_args[0] is model.get_layer("relu").output and node.call_kwargs == {}
    assert model.output.node.layer.name == "head"
    x = keras.Input((4,))
    op, slicing = (x + 1).node.layer, x[:, 1:].node.layer
    assert type(op) is TFOpLambda and op.get_config()["function"] == "__operators__.add"
    assert isinstance(slicing, SlicingOpLambda) and callable(op.function)
    # What the progress line shall not average is put among a layer's metrics for a moment.
    assert model.layers[1]._metrics == [] == model.metrics
    model.layers[1]._metrics.append("here")
    assert model.metrics == ["here"]
    assert "experimental_autocast" in inspect.getsource(Layer.add_weight)


def test_private_names_of_variables_that_are_relied_on():
    kernel = conv_net().get_layer("inner").kernel
    assert not hasattr(kernel, "true_dtype") and raw(kernel) is kernel
    assert kernel._constraint is None is kernel.constraint
    layer = L.Dense(2, dtype="mixed_bfloat16")
    layer.build((None, 3))
    assert layer.kernel.true_dtype == tf.float32
    assert raw(layer.kernel) is layer.kernel._variable
    assert raw(layer.kernel).dtype == tf.float32
    raw(layer.kernel)._constraint = constraint = keras.constraints.NonNeg()
    assert layer.kernel.constraint is constraint  # what the optimizer asks


# -- tfmot's tools -------------------------------------------------------------------------------
