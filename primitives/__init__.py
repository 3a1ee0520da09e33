"""Streaming hardware building blocks in Amaranth; they know nothing of ONNX or of the compiler."""
