"""What a model was pruned from: counted before, remembered by the small model, compared after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_spp import frameworks
from keras_spp.core.channels import Sizes
from keras_spp.core.cost import MACs
from keras_spp.core.coupling import Coupling

_REMEMBERED = "_keras_spp_originals"


def describe(model: Any, sizes: Sequence[Sequence[Any]] | None = None) -> dict[str, Any]:
    """Returns what a model has to be compared by: its `summary`, at sizes of its inputs.

    Args:
        model: The model.
        sizes: Those of each input without the batch at which MACs count, if the model takes them.
    """
    adapter = frameworks.of(model)
    fitting = adapter.sizes_that_fit(model, sizes)
    model = adapter.opened(model)
    return summary(model, adapter.label(model, sizes=fitting), fitting)


def summary(model: Any, coupling: Coupling, sizes: Sequence[Sizes] | None) -> dict[str, Any]:
    """Returns what a model has to be compared by: MACs, parameters and widths of layers.

    Args:
        model: The model.
        coupling: Its channels.
        sizes: Those of each input without the batch at which they were labelled; None for those
            that the model declares.

    Returns:
        "sizes"; "macs" per sample, None if a size is open; "params"; "widths", from the name of
        each layer that makes channels to their number.
    """
    adapter = frameworks.of(model)
    widths: dict[str, int] = {}
    params = 0
    for layer in map(adapter.unwrap, adapter.layers(model)):
        inner = _innermost(layer)
        params += inner.count_params() if inner.weights else 0
        keys = [key for key in ("filters", "units", "output_dim") if key in vars(inner)]
        width = getattr(inner, keys[0]) if keys else None
        if width is not None:
            widths[layer.name.removeprefix("quant_")] = int(width)
    return {
        "sizes": None if sizes is None else [list(of_input) for of_input in sizes],
        "macs": None if coupling.channels.unknown_size else MACs(coupling).left(),
        "params": params,
        "widths": widths,
    }


def _innermost(layer: Any) -> Any:
    """Returns what wrappers hold: tfmot's for quantization, SpectralNormalization..."""
    while hasattr(getattr(layer, "layer", None), "count_params"):
        layer = layer.layer
    return layer


def remember(model: Any, first: dict[str, Any], last: dict[str, Any]) -> None:
    """Lets a model know what it was made from, until it is saved or cloned.

    Args:
        model: The small model.
        first: The `summary` of the model that was pruned first.
        last: That of the model that this one was made from.
    """
    # Past Keras, which would track and save it.
    vars(model)[_REMEMBERED] = {"first": first, "last": last}


def origin(model: Any) -> dict[str, Any] | None:
    """Returns the `summary` of the model that this one was pruned from first; None if of none."""
    return vars(model).get(_REMEMBERED, {}).get("first")


def pruned_from(
    model: Any, original: Any = None, sizes: Sequence[Sizes] | None = None
) -> dict[str, Any] | None:
    """Returns what was pruned, counted on the models themselves.

    Args:
        model: The small model, fine-tuned or wrapped for quantization since.
        original: The model before pruning; None for what `spp.shrink` remembers.
        sizes: Those of each input without the batch at which MACs are compared with an original's.

    Returns:
        "speedup", the ratio of MACs, None if a size is open; "macs" and "params", each [before,
        after]; "layers", from the names of the layers that changed to their channels [before,
        after]. Before means before the first pruning; if there was more than one, "last_round"
        has the same since the last. None if there is nothing to compare with.
    """
    if original is not None:
        return _compared(describe(original, sizes), model)
    remembered = vars(model).get(_REMEMBERED)
    if remembered is None:
        return None
    pruned = _compared(remembered["first"], model)
    if remembered["last"] != remembered["first"]:
        pruned["last_round"] = _compared(remembered["last"], model)
    return pruned


def _compared(before: dict[str, Any], model: Any) -> dict[str, Any]:
    after = describe(model, before["sizes"])
    counted = before["macs"] and after["macs"]
    old, new = before["widths"], after["widths"]
    return {
        "speedup": round(before["macs"] / after["macs"], 4) if counted else None,
        "macs": [before["macs"], after["macs"]],
        "params": [before["params"], after["params"]],
        "layers": {
            name: [old[name], new[name]] for name in old if name in new and old[name] != new[name]
        },
    }
