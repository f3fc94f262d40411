"""The formats of labelled images that `deeppose data add` reads, one a file."""
