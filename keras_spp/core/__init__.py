"""What channels, groups, costs and probabilities are, in numbers: the theory."""
