"""The rules by which labels pass through TensorFlow's functions."""
