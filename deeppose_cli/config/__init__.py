"""Settings as dataclasses, named presets, default numbers."""
