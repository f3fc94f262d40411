"""Data sets: from archives on disk to batches."""
