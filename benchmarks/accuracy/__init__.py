"""What pruning and quantization change in what networks compute: accuracy, exactness, size."""
