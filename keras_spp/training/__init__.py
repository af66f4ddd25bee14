"""What moves pruning probabilities while a model trains, and what else training needs."""
