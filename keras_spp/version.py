"""The version, and the TensorFlow stack it was tested with: read by setup.py and compat.py."""

__version__ = "0.1.0"

# One entry per distribution that must fit together. tfmot relies on private parts of tf_keras and
# tf_keras on private parts of TensorFlow, so the ranges admit the tested minor version only.
STACK = {
    "tensorflow": ">=2.21,<2.22",
    "tf_keras": ">=2.21,<2.22",
    "tensorflow-model-optimization": ">=0.8.1,<0.9",
}

# What the Keras 3 adapter was tested with; it relies on private parts of Keras.
KERAS_3 = ">=3.15,<3.17"
