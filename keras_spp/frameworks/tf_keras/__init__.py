"""The tf_keras adapter."""
