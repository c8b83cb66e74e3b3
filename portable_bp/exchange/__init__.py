"""To and from other libraries: ONNX files."""
