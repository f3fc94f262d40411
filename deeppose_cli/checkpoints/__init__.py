"""Run folders, Lightning checkpoints, weights files, ONNX files, pretrained weights."""
