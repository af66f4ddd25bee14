"""The tf_keras adapter.

Importing anything in it checks that the installed versions fit together, and imports tfmot without
letting it change what `tf.keras` is.
"""

from keras_spp.frameworks.tf_keras import stack

stack.check()
stack.import_tfmot()
