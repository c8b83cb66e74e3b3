"""To and from others: what JSON can say of a network, models of scikit-learn, modules of PyTorch, ONNX files."""
