"""Pins what `private.py` relies on, and that nothing private is used anywhere else."""

import ast
import inspect
from pathlib import Path

import numpy as np
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

import keras_spp
from keras_spp.frameworks.moments import GRADIENT_SIZES
from keras_spp.frameworks.tensorflow.graph_macs import graph_macs
from keras_spp.frameworks.tensorflow.private import called_graph, op_def_registry
from keras_spp.frameworks.tf_keras import private
from keras_spp.frameworks.tf_keras.private import PruneLowMagnitude
from keras_spp.frameworks.tf_keras.variables import raw
from keras_spp.frameworks.tf_keras.wrapper import PruneSPP
from tests.helpers.training import conv_net, prune
from tests.helpers.wrappers import find_wrappers
from tests.zoo.models import L

PACKAGE = Path(keras_spp.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "private.py")
# Python's own, and one name of LiteRT in a file that runs on boards and imports nothing of ours.
OURS = ("self", "cls", "super()", "os", "interpreter")
PRIVATE_MODULES = (
    "keras.src", "tf_keras.src", "tensorflow.python", "tensorflow_model_optimization.python",
)  # fmt: skip


def net():
    x = inputs = keras.Input((4,), name="x")
    first = L.Dense(8, kernel_regularizer="l2", name="first")
    x = L.Dropout(0.5, name="drop")(first(x))
    return keras.Model({"x": inputs}, L.Dense(2, name="last")(x))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_file_uses_a_private_name_of_a_library(path):
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith(PRIVATE_MODULES), (path, node.lineno)
            assert "__internal__" not in [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            assert node.attr != "__internal__", (path, node.lineno)
            ours = ast.unparse(node.value) in OURS or f"self.{node.attr}" in text
            named = node.attr.startswith("_") and not node.attr.startswith("__")
            assert ours or not named or node.attr == "_replace", (path, node.lineno, node.attr)


def test_calls_come_in_the_order_in_which_the_model_makes_them():
    calls = list(private.calls_in_order(net()))
    assert [call.layer.name for call in calls] == ["x", "first", "drop", "last"]
    assert [call.is_input for call in calls] == [True, False, False, False]


def test_structures_are_those_that_the_model_was_made_with():
    inputs, outputs = private.structures(net())
    assert list(inputs) == ["x"] and isinstance(outputs, private.KerasTensor)
    x = tf.ones((1, 4))
    assert private.in_reference_order(net(), {"x": x, "unused": x})[0] is x


def test_what_a_scope_registers_is_found_in_this_thread():
    with keras.saving.custom_object_scope({"Mine": L.Dense}):
        assert private.objects_in_scope()["Mine"] is L.Dense
    assert "Mine" not in private.objects_in_scope()


def test_only_models_with_a_graph_say_so():
    assert private.is_graph_network(net())
    assert not private.is_graph_network(keras.Sequential([L.Dense(2)]))
    assert not private.is_graph_network(L.Dense(2))


def test_a_call_added_beside_the_outputs_is_part_of_the_model():
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(2)(x))
    watched = L.Dense(3, name="watched")
    watched(x)
    private.add_calls(model, [watched.inbound_nodes[-1]])
    assert watched in model.layers


def test_the_flag_of_a_model_is_shared_without_touching_its_layers():
    model, other = net(), net()
    other.trainable = False
    private.share_trainable(model, other)
    assert not model.trainable and model.get_layer("last").trainable


def test_what_a_call_expects():
    assert private.expects_training(L.Dropout(0.5)) and not private.expects_training(L.Dense(2))
    assert private.expects_mask(L.LSTM(2)) and not private.expects_mask(L.Dense(2))
    assert private.expects_mask(L.Lambda(lambda x, mask=None: x))
    assert not private.expects_mask(L.Lambda(lambda x: x))


def test_parts_are_all_layers_inside():
    rnn = L.RNN([L.GRUCell(2), L.GRUCell(3)])
    assert [type(part).__name__ for part in private.parts(rnn)] == [
        "RNN",
        "StackedRNNCells",
        "GRUCell",
        "GRUCell",
    ]


def test_losses_are_as_they_were_after_another_call():
    layer = L.Dense(2, activity_regularizer="l2")
    layer(tf.ones((1, 4)))
    before = len(layer.losses)
    with private.losses_as_they_were(layer):
        layer(tf.ones((1, 4)))
        assert len(layer.losses) != before or before == 1
    assert len(layer.losses) == before
    assert len(private.loss_functions(net().get_layer("first"))) == 1


def test_own_metrics_are_those_that_the_layer_shows():
    model = net()
    metric = keras.metrics.Mean(name="mine")
    private.own_metrics(model.layers[1]).append(metric)
    assert metric in model.metrics


def test_declared_shapes():
    layer = L.Dense(2, input_shape=(4,))
    assert private.declared_input_shape(layer) == (None, 4)
    assert private.declared_input_shape(L.Dense(2)) is None
    private.declare_input_shape(layer, (None, 3))
    assert layer.get_config()["batch_input_shape"] == (None, 3)
    assert private.declared_output_shape(L.Lambda(tf.abs, output_shape=(3,))) == (3,)


def test_variables():
    kernel = L.Dense(2, dtype="mixed_float16")
    kernel.build((None, 3))
    assert private.without_autocast(kernel.kernel).dtype == tf.float32
    variable = tf.Variable(1.0)
    assert private.without_autocast(variable) is variable
    private.replace_constraint(variable, abs)
    assert variable.constraint is abs


def test_a_bidirectional_keeps_the_config_of_its_backward_layer():
    layer = L.Bidirectional(L.GRU(2), backward_layer=L.GRU(3, go_backwards=True))
    config = private.backward_config(layer)
    assert config["config"]["units"] == 3
    private.replace_backward_config(layer, {**config, "changed": True})
    assert layer.get_config()["backward_layer"]["changed"]
    assert private.backward_config(L.Dense(2)) is None


def test_optimizers_keep_their_state_by_place():
    model = net()
    optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 10))
    assert not private.is_built(optimizer)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(model.trainable_variables)
    assert private.is_built(optimizer) and private.places(optimizer) == 4
    assert [private.place_of(optimizer, v) for v in model.trainable_variables] == [0, 1, 2, 3]
    assert private.place_of(optimizer, tf.Variable(np.ones(3))) is None
    rate = private.learning_rate(optimizer)
    assert isinstance(rate, keras.optimizers.schedules.CosineDecay)
    before = dict(vars(optimizer))
    twin = private.with_learning_rate(optimizer, tf.constant(0.5))
    assert twin.get_config()["learning_rate"] == 0.5
    assert vars(optimizer) == before
    assert private.learning_rate(optimizer) is rate


def test_optimizers_keep_sizes_of_gradients_under_these_names():
    names = set()
    for kind, options in {
        "Adadelta": {}, "Adafactor": {}, "Adagrad": {}, "Adam": {"amsgrad": True}, "Adamax": {},
        "RMSprop": {},
    }.items():  # fmt: skip
        optimizer = getattr(keras.optimizers, kind)(0.1, **options)
        optimizer.build(net().trainable_variables)
        names |= {name for name, value in vars(optimizer).items() if isinstance(value, list)}
    assert names >= GRADIENT_SIZES


def test_what_weight_decay_spares():
    model = net()
    optimizer = keras.optimizers.AdamW(0.1)
    kernel, bias = model.get_layer("first").weights
    optimizer.exclude_from_weight_decay(var_list=[bias], var_names=["gamma"])
    assert private.spared_from_decay(optimizer, [kernel, bias]) == ([False, True], ["gamma"])


def test_tfmots_wrappers_are_the_classes_that_tfmot_tests_for():
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(net().get_layer("first"))
    assert type(wrapped) is private.PruneLowMagnitude
    assert private.PruneRegistry.supports(L.Dense(2))
    assert issubclass(private.PrunableLayer, tfmot.sparsity.keras.PrunableLayer)


def test_layers_made_of_functions_have_these_classes():
    x = keras.Input((4,))
    assert isinstance(x, private.KerasTensor)
    assert type(tf.nn.relu(x).node.layer) is private.TFOpLambda
    assert type((x[:, 1:]).node.layer) is private.SlicingOpLambda
    assert type(tf.shape(x)[0].node.layer) in (private.SlicingOpLambda, private.TFOpLambda)


def test_operations_say_what_they_do():
    assert op_def_registry.get("RandomUniform").is_stateful
    assert not op_def_registry.get("Relu").is_stateful
    assert private.get_symbol_from_name("nn.relu") is tf.nn.relu
    assert private.get_canonical_name_for_symbol(tf.nn.relu) == "nn.relu"


def test_where_backups_note_the_batch(tmp_path):
    callback = keras.callbacks.BackupAndRestore(tmp_path)
    model = net()
    model.compile("sgd", "mse")
    callback.set_model(model)
    callback.on_train_begin()
    private.note_batch(callback._training_state, 7)
    assert int(callback._training_state._ckpt_saved_batch) == 7


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
    stock = PruneLowMagnitude(L.Dense(2), tfmot.sparsity.keras.ConstantSparsity(0.5, 0))
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


def test_the_graph_of_a_function_that_an_operation_calls_is_found_and_counted():
    inner = tf.function(lambda x: x @ x)
    graph = tf.function(lambda x: 1 + inner(x)).get_concrete_function(tf.TensorSpec([3, 3])).graph
    (call,) = [op for op in graph.get_operations() if op.type.endswith("PartitionedCall")]
    assert "MatMul" in [op.type for op in called_graph(call).get_operations()]
    assert graph_macs(graph) == 27


def test_a_transposed_convolution_is_counted_by_its_inputs():
    layer = L.Conv2DTranspose(6, 3, strides=2)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([1, 8, 8, 4])).graph
    assert graph_macs(graph) == 8 * 8 * 4 * 6 * 9
