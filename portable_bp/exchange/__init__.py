"""Convert networks to and from other forms: JSON descriptions, scikit-learn models, PyTorch modules, ONNX files."""
