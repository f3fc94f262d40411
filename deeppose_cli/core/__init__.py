"""Skeletons, boxes and coordinates, annotations, errors, files, progress. Imports nothing else of the package."""
