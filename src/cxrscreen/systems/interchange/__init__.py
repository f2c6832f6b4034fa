"""A bundle in the formats of other programs (ONNX, MONAI Bundle, Triton), and the check that it is still the bundle."""
