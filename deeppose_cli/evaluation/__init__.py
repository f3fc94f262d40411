"""Scores of predictions, with intervals, tables and figures."""
