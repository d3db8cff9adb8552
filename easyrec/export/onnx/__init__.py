"""A stored program as an ONNX model: `model` writes one, `session` runs it and knows no torch."""
