"""Synthetic people, drawn by the toolkit itself."""
