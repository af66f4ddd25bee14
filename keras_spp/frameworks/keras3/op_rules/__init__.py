"""The rules by which labels pass through the functions of `keras.ops`."""
