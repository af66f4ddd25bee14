"""The interface of stages to a framework: they use an `Adapter` and no framework itself.

An adapter is a module with these functions (`keras_spp.frameworks.tf_keras.adapter`). A model is
one of that framework, a layer one of its layers, a variable one of its variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from keras_spp.core.channels import Sizes
from keras_spp.core.coupling import Coupling
from keras_spp.core.groups import Goals, Groups, Reader
from keras_spp.core.schedule import Schedule

Model = Any
Layer = Any
Variable = Any
Tensor = Any
# Called with a layer's inputs and outputs; what it returns, unless None, replaces the outputs.
Hook = Callable[[Any, Any], Any]


class Adapter(Protocol):
    """The functions of one framework."""

    # -- the model -------------------------------------------------------------------------------

    arrays: ModuleType  # the functions of `keras_spp.core.arrays`
    checkpoints: Any  # a module with its `BackupAndRestore` and `ModelCheckpoint`
    optimizers: Any  # a module that says what optimizers keep, like `tf_keras.optimizer_state`

    # Classes: a copy of a model to be tried, as `Probe(model, groups, hooks)`, with a `Hook` at its
    # layers; what one batch normalisation sees; what gives channels the statistics that they had.
    Probe: Any
    BatchStatistics: Any
    ChannelStatistics: Any
    # Two models of one structure, side by side: `Lockstep(model, original, batches, alone=False)`.
    Lockstep: Any

    def is_graph_network(self, model: Any) -> bool:
        """Tells whether something holds the graph of its layers' calls."""

    def check(self, model: Any, argument: str = "model") -> None:
        """Raises TypeError or ValueError unless this is a model with a readable graph of layers."""

    def layers(self, model: Model, in_training: bool = False) -> Iterator[Layer]:
        """Yields every layer once, nested models opened, in the order of the first call.

        `in_training` leaves out calls that are fixed to inference.
        """

    def operations(self, model: Model) -> Iterator[Any]:
        """Yields every layer, and every function that is no layer, once, in the same order."""

    def opened(self, model: Model) -> Model:
        """Returns the model with blocks and functions replaced by the layers inside them."""

    def label(
        self,
        model: Model,
        policy: Any = None,
        to_prune: bool = False,
        sizes: Sequence[Sizes] | None = None,
    ) -> Coupling:
        """Labels every channel; the policy, and untrained layers `to_prune`, keep theirs."""

    def clone(
        self,
        layer: Layer,
        changes: dict[str, Any] | None = None,
        kind: Any = None,
        resized: bool = False,
    ) -> Layer:
        """Returns a new layer with a layer's config, some entries changed, without its weights."""

    def rebuild(
        self,
        model: Model,
        make_layer: Callable[[Layer], Layer],
        edit_call: Callable[[Layer, tuple, dict], tuple[tuple, dict]] | None = None,
    ) -> Model:
        """Rebuilds a model of new layers: nested models, shared and tied layers too."""

    def copy_weights(
        self, model: Model, rebuilt: Model, value: Callable[[Layer, Variable], np.ndarray] = ...
    ) -> None:
        """Fills a rebuilt model with the weights, or with what `value` returns for each."""

    def declare_inputs(self, model: Model) -> None:
        """Updates the input shapes that layers of a rebuilt model declare."""

    def plain_class(self, layer: Layer) -> type:
        """Returns the class of Keras' own that replaces a layer's in a small model."""

    def input_shapes(self, model: Model, sizes: Sequence[Sizes] | None = None) -> dict[int, Sizes]:
        """Returns the shape on which each layer is first called, by the layer's id."""

    def alone(self, layer: Layer, changes: dict[str, Any], shape: Sizes) -> Model:
        """Returns a model of one layer like this one, with new weights, on an input of a shape."""

    def load(
        self,
        path: Any,
        *,
        compile: bool = True,
        allow_code: bool = False,
        modules: Sequence[str] = (),
    ) -> Model:
        """Loads a saved model without running code of its file."""

    def save(self, model: Model, path: Any) -> None:
        """Saves a model; raises OSError if it cannot be written whole."""

    def images_in(self, folder: Path, model: Model, pixels: str, samples: int) -> list[np.ndarray]:
        """Returns batches of the images in a folder, as a model takes them."""

    def dataset(
        self, name: str, data_dir: Path | None, split: str, model: Model, pixels: str, samples: int
    ) -> list[np.ndarray]:
        """Returns batches of the images of a TensorFlow Datasets dataset, as a model takes them."""

    # -- its inputs and outputs ------------------------------------------------------------------

    def input_keys(self, model: Model) -> list[str]:
        """Returns the keys of a dict of inputs, in the order of `model.inputs`."""

    def output_keys(self, model: Model) -> list[str]:
        """Returns the names of the outputs, in the order of `model.outputs`."""

    def input_sizes(self, model: Model, input_shape: Any) -> list[Sizes]:
        """Returns each input's sizes without the batch, the argument `input_shape` applied."""

    def sizes_that_fit(
        self, model: Model, sizes: Sequence[Sequence[Any]] | None
    ) -> list[Sizes] | None:
        """Returns sizes of another model's inputs if this model takes them, otherwise None."""

    def input_types(self, model: Model) -> list[np.dtype]:
        """Returns the type of each input's elements, in the order of `model.inputs`."""

    def check_taken(self, model: Model, sizes: Sequence[Sizes]) -> None:
        """Raises ValueError if a model cannot be called on inputs of these sizes."""

    def backend(self) -> str:
        """Returns the name of what models compute with: "tensorflow", "jax" or "torch"."""

    def forward(self, model: Model, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Computes a model's outputs, flat, from one tensor per input, in inference."""

    def inference(self, model: Model) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        """Returns a function of one array per input that computes the outputs, flat, as arrays."""

    def convolved_by(
        self, operations: Mapping[Layer, Callable[[Any, Any], Any]]
    ) -> AbstractContextManager[None]:
        """Lets layers convolve by other functions of (inputs, kernel) while they are called."""

    def derivatives(
        self, scalar: Callable[..., Tensor], variables: Sequence[Variable]
    ) -> Callable[..., list[np.ndarray]]:
        """Returns a function that differentiates one of tensors, a number, by variables."""

    def before_activation(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        """Returns what a layer makes of an array in inference, without its activation."""

    def output_shape(self, layer: Layer, shape: Sequence[int]) -> tuple[int, ...]:
        """Returns the shape of what a layer makes of an input of a shape."""

    def is_linear(self, layer: Layer) -> bool:
        """Tells whether a layer has no activation inside."""

    # -- variables -------------------------------------------------------------------------------

    def read(self, variable: Variable) -> np.ndarray:
        """Returns a variable's value in its own type."""

    def write(self, variable: Variable, value: np.ndarray) -> None:
        """Gives a variable a value, rounded to its own type."""

    def raw(self, variable: Variable) -> Variable:
        """Returns the variable in its own type, under mixed precision too."""

    # -- training --------------------------------------------------------------------------------

    def distilled(
        self,
        model: Model,
        teacher: Model,
        weight: float,
        temperature: float,
        loss: Any,
        from_logits: bool | None,
    ) -> Model:
        """Returns a model of the same layers whose training also follows a teacher's outputs."""

    def is_frozen(self, layer: Layer) -> bool:
        """Tells whether training leaves a layer's weights alone."""

    def require_alike(self, model: Model, numbers: Callable[[], Sequence[int]]) -> None:
        """Raises ValueError if workers differ in what they are about to train."""

    def require_one_process(self, model: Model, argument: str) -> None:
        """Raises ValueError, naming an argument, if several processes train a model together."""

    def checksum(self, model: Model) -> int:
        """Computes a number for the bits of all variables that replicas share."""

    def attach(self, model: Model, wrappers: Sequence[Layer], pruner: Any) -> None:
        """Lets a `Pruner` move the probabilities in a model's training steps from now on."""

    def when(self, condition: Tensor, change: Callable[[], Any], pruner: Any) -> None:
        """Makes a change of variables in a training step if a condition holds there."""

    def begin_step(self, pruner: Any) -> None:
        """Does what comes before a training step, if it is not done in it."""

    def end_step(self, pruner: Any) -> None:
        """Does what comes after one."""

    def stateless(self, pruner: Any, change: Callable[[], Any], state: Any) -> Any:
        """Makes a change to the values of variables: trainable, others, the optimizer's."""

    def is_eager(self) -> bool:
        """Tells whether what is computed now is known now."""

    def is_chief(self, model: Model) -> bool:
        """Tells whether this process writes what all workers of a training have in common."""

    def synced(self, model: Model) -> Model:
        """Returns a model, its variables up to date while it trains."""

    # -- what allocations ask --------------------------------------------------------------------

    def norms(self, reader: Reader) -> np.ndarray:
        """Returns the L1 norm of each group's weights in a layer, shape (groups,)."""

    def projected_derivatives(self, probe: Any) -> Callable[[Any, int, int], list[np.ndarray]]:
        """Returns a function that differentiates a random sum of a probe's outputs by its groups.

        It takes a batch of inputs, a seed and the number of the sum.
        """

    def is_softmax(self, function: Any) -> bool:
        """Returns whether an activation is a softmax."""

    def ends_in_softmax(self, output: Any) -> bool:
        """Tells whether an output of a model holds probabilities, not logits."""

    def logits_of(self, model: Model) -> Callable[[Any], list[Tensor]]:
        """Returns a function that picks the outputs of floats, flat, as logits."""

    def find_losses(self, loss: Any) -> Any:
        """Returns what `compile` takes as `loss`, functions and objects in the place of names."""

    def describe_losses(self, loss: Any) -> Any:
        """Returns such losses with the name and the config in the place of each."""

    def compiled_loss(self, model: Model, loss: Any) -> Callable[..., float]:
        """Compiles a model, and returns its loss as a function of outputs, targets and weights."""

    def flatten(self, structure: Any) -> list[Any]:
        """Lists what is in a structure of tuples, lists and dicts, as users give data."""

    def map_structure(self, function: Callable[..., Any], *structures: Any) -> Any:
        """Calls a function with what is at one place of structures that are alike."""

    # -- pruned models ---------------------------------------------------------------------------

    def stage(self, model: Model) -> Any:
        """Returns the unfinished stage of a model, such as pruning, with the remedy; or None."""

    def require_unwrapped(self, model: Model) -> None:
        """Raises ValueError, with the remedy, if a model is in an unfinished stage."""

    def require_copies(self, model: Model | None = None) -> None:
        """Raises ValueError if replicas that train have no variables of their own."""

    def require_unchanged(self, wrappers: Sequence[Layer]) -> None:
        """Raises ValueError if a pruned layer computes with other weights than when it was."""

    def check_score(self, score: Any, groups: Groups) -> None:
        """Raises ValueError if a score cannot rank these groups."""

    def find_conductor(self, model: Model, groups: Groups) -> Layer:
        """Returns the first layer that is pruned and that a training step reaches."""

    def wrap(
        self,
        model: Model,
        groups: Groups,
        goals: Goals,
        schedule: Schedule,
        counted: str,
        **of_conductor: Any,
    ) -> Model:
        """Returns a copy of a model with a wrapper around each layer that reads groups."""

    def keep_probabilities(self, model: Model) -> dict[int, np.ndarray]:
        """Returns what each masked weight is multiplied with in inference, by its id."""

    def wrappers(self, model: Model) -> list[Layer]:
        """Returns the pruning wrappers of a model in the order of their first call."""

    def unwrap(self, layer: Layer) -> Layer:
        """Returns the layer inside a pruning wrapper; any other layer itself."""
