"""Requirements, cost, and stated properties, checked by running them."""
