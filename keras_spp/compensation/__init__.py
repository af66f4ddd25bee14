"""What remains of a pruned network, solved for what the dense one gave."""
