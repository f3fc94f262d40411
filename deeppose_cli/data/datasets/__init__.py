"""One public data set a file; `registry.py` lists them."""
