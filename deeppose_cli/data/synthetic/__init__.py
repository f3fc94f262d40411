"""Synthetic people for the demo data set and the tests."""
