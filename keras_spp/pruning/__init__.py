"""`spp.prune`: targets, and what meets them."""
