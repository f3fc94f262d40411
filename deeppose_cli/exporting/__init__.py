"""Cascades as safetensors or ONNX files, and back to a run."""
