"""Organ networks, of either kind, as graphs."""

from pathlib import Path
from typing import cast

from cxrscreen.errors import RecipeError
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.export import export_segmenter

HALVINGS = 32
"""An FC-DenseNet halves its input five times."""


def export_organs(network: UNet | FCDenseNet, side: int, weights: Path, graph: Path) -> None:
    """Write an organ network's weights and its ONNX graph.

    The graph: ``image`` float32 (N, C, side, side) -> ``logits`` (N, K, side, side).

    Parameters
    ----------
    network
        The trained network; left as it was.
    side
        Side of the input in pixels, a multiple of 16 for a U-Net and of 32 for an FC-DenseNet.
    weights
        The safetensors file to write (float16 kernels, float32 vectors).
    graph
        The ONNX file to write, in the same folder.

    Raises
    ------
    RecipeError
        If the side does not fit the network or the two files lie in different folders.
    """
    if isinstance(network, FCDenseNet) and side % HALVINGS:
        raise RecipeError(f"An input side of {side} pixels does not fit this network: choose a multiple of {HALVINGS}.")
    # What is written depends on the network's input and output alone, and these are a U-Net's.
    export_segmenter(cast(UNet, network), side, weights, graph)
