"""The version of the package, importable without the package's other parts."""

__version__ = "0.2.0"
