"""The Keras 3 adapter, for whichever backend Keras has chosen.

Importing anything in it checks that the installed Keras is one that its private names are known of.
"""

from keras_spp.frameworks.keras3 import stack

stack.check()
