"""The 8-bit twin of a graph: convolutions in int8, calibrated on images of the training part."""

import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import checked_image, int8_graph


def export_int8(graph: Path, images: Sequence[NDArray[np.float32]]) -> tuple[Path, Path]:
    """Write the 8-bit twin of an exported graph beside it, in OpenVINO's own form.

    Post-training quantisation by NNCF: weights symmetric per channel, activations by the ranges that the images show,
    biases corrected for what rounding shifts. The graph's float16 weights stay the model; this file is made of them.

    Parameters
    ----------
    graph
        An ONNX file written by :mod:`cxrscreen.runtime.export`.
    images
        Inputs of the network, each float32 (1, C, H, W); of the training part alone. Some hundred are enough.

    Returns
    -------
    tuple
        The ``.xml`` and the ``.bin`` file.

    Raises
    ------
    BundleError
        If the graph cannot be read.
    ValueError
        If there is no image, or one of another shape.
    """
    if not images:
        raise ValueError("there is no image to calibrate with")
    try:
        model = ov.Core().read_model(graph)
    except RuntimeError as fault:
        raise BundleError(f"The graph {graph} cannot be read: copy the model bundle again.") from fault
    _, channels, rows, columns = (side.get_length() if side.is_static else 0 for side in model.input(0).partial_shape)
    checked = [checked_image(image, (channels, rows, columns)) for image in images]
    nncf.set_log_level(logging.ERROR)
    # Its progress goes to standard output, which may be somebody's JSON.
    with redirect_stdout(sys.stderr):
        quantised = nncf.quantize(
            model, nncf.Dataset(checked), preset=nncf.QuantizationPreset.MIXED, subset_size=len(checked)
        )
    twin = int8_graph(graph)
    ov.save_model(quantised, twin)
    return twin, twin.with_suffix(".bin")
