"""The version, and those of the libraries that it was tested with; setup.py reads it, too."""

__version__ = "0.1.0"

# What the tests passed with. tfmot relies on private parts of tf_keras, and that on private parts
# of TensorFlow, so each tf_keras goes with the TensorFlow of its minor version.
STACK = {
    "tensorflow": ">=2.18,<2.22",
    "tf_keras": ">=2.18,<2.22",
    "tensorflow-model-optimization": ">=0.8.1,<0.9",
}
# tf_keras 2.18 draws seeds in a way that Python refuses since 3.12.
SINCE_PYTHON_3_12 = {"tf_keras": ">=2.19,<2.22"}

# What the Keras 3 adapter was tested with; it relies on private parts of Keras.
KERAS_3 = ">=3.12,<3.16"
