"""A sheet of samples as the network receives them."""
