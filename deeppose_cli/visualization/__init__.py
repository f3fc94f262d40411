"""Poses drawn onto images; figures."""
