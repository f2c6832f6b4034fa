"""COMiT-Net as one graph: every task's answer from one run."""

from pathlib import Path

from torch import Tensor, nn

from cxrscreen.nets.comit import ComitNet, Outputs
from cxrscreen.runtime.export import example_image, export_graph

MASKS, BRANCHES = ("lungs", "disease"), ("health", "diagnosis")
STRIDE = 32


def export_comit(network: ComitNet, side: int, weights: Path, graph: Path) -> None:
    """Write the network's weights and its ONNX graph.

    The graph: ``image`` float32 (N, 1, side, side) -> ``features`` (N, K, side/32, side/32) and ``pooled`` (N, K), and
    for each task that the network has ``lungs`` or ``disease`` (N, 1, side, side), probabilities of the foreground,
    ``health`` (N, 1), log odds of unhealthy, ``diagnosis`` (N, 2), logits of COVID-19 and of other disease.

    Parameters
    ----------
    network
        The trained network; left as it was.
    side
        Side of the input in pixels, a multiple of 32.
    weights
        The safetensors file to write (float16 kernels, float32 vectors).
    graph
        The ONNX file to write, in the same folder.

    Raises
    ------
    RecipeError
        If the side is no multiple of 32 or the two files lie in different folders.
    """
    tasks = [name for name in (*MASKS, *BRANCHES) if getattr(network, name) is not None]
    export_graph(
        ComitAnswers(network), example_image(network, side, STRIDE), (*tasks, "features", "pooled"), weights, graph, {}
    )


class ComitAnswers(nn.Module):
    """What the graph gives, in its order; see :func:`export_comit`."""

    def __init__(self, network: ComitNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run it on float (N, 1, S, S)."""
        return tuple(comit_answers(self.network(image)).values())


def comit_answers(outputs: Outputs) -> dict[str, Tensor]:
    """The network's outputs as its graph names and scales them, in the graph's order."""
    found = {
        name: logits.softmax(dim=1)[:, 1:]
        for name, logits in (("lungs", outputs.lungs), ("disease", outputs.disease))
        if logits is not None
    }
    if outputs.health is not None:
        found["health"] = outputs.health[:, 1:] - outputs.health[:, :1]
    if outputs.diagnosis is not None:
        found["diagnosis"] = outputs.diagnosis
    return found | {"features": outputs.features, "pooled": outputs.pooled}
