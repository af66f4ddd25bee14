"""What pruning changes in how long networks take, on a device and in training."""
