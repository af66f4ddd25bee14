"""What adapters share where TensorFlow computes, whichever Keras is on it."""
