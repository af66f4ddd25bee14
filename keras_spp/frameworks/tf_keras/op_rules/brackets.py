"""The items between the brackets of `x[1:, ..., None]`, as a SlicingOpLambda layer has them."""

from __future__ import annotations

from typing import Any


def as_slices(spec: Any) -> tuple:
    """Returns the items between the brackets as NumPy takes them."""
    items = spec if isinstance(spec, tuple | list) else [spec]
    return tuple(
        slice(item["start"], item["stop"], item["step"]) if isinstance(item, dict) else item
        for item in items
    )


def as_item(item: Any) -> Any:
    """Returns a slice, or a number, as the layer's arguments have it."""
    if not isinstance(item, slice):
        return item
    return {"start": item.start, "stop": item.stop, "step": item.step}


def without_dots(spec: Any, rank: int) -> list[Any]:
    """Returns the items without `...`, one for every axis of the tensor."""
    items = list(spec) if isinstance(spec, tuple | list) else [spec]
    if not any(item is ... for item in items):
        items.append(...)
    at = next(place for place, item in enumerate(items) if item is ...)
    missing = rank - sum(item is not None and item is not ... for item in items)
    items[at : at + 1] = [dict(start=None, stop=None, step=None)] * missing
    return items


def getitem(tensor: Any, slice_spec: Any) -> Any:
    """Indexes a tensor as the layer does, in whose arguments slices are dicts."""
    return tensor[as_slices(slice_spec)]
