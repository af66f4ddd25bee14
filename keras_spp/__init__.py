"""Structured Probabilistic Pruning (Wang et al., BMVC 2018) for models of Keras 3 and tf_keras.

pruned = spp.prune(model, target_speedup=2.0)
pruned.compile(...); pruned.fit(data, callbacks=[spp.SPPCallback()])
small = spp.shrink(pruned)
spp.export_tflite(small, "small.tflite")
spp.benchmark({"dense": "dense.tflite", "small": "small.tflite"})

Nothing but this file is imported before a name is asked for: no framework is loaded, and none is
chosen, until there is a model. `__init__.pyi` says where the names are.
"""

from typing import Any

import lazy_loader

from keras_spp.frameworks.registered import register_for_loading

_get, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Imports what a name stands for."""
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(__name__):
            raise
        package = error.name.partition(".")[0]
        raise ImportError(
            f"{__name__}.{name} needs {package}, which is not installed: install keras-spp with "
            "its dependencies, TensorFlow among them (`pip install keras-spp`)."
        ) from error


register_for_loading()
