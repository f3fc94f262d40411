"""One data set a file; `CATALOGUE` in `catalogue.py` lists them."""
