"""How a target is spread over the layers of a network."""
