"""Structured Probabilistic Pruning (Wang et al., BMVC 2018) for tf_keras models.

pruned = spp.prune(model, target_speedup=2.0)
pruned.compile(...); pruned.fit(data, callbacks=[spp.SPPCallback()])
small = spp.shrink(pruned)
spp.export_tflite(small, "small.tflite")
spp.benchmark({"dense": "dense.tflite", "small": "small.tflite"})

Nothing but this file is imported before a name is asked for: no framework is loaded, and none is
chosen, until there is a model. `__init__.pyi` says where the names are.
"""

import lazy_loader

from keras_spp.frameworks.registered import register_for_loading

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_for_loading()
