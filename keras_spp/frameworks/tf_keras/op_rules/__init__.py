"""How labels pass through TensorFlow's functions."""
