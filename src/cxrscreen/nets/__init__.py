"""Torch architectures and nothing else; parameter names follow the published checkpoints."""
