"""A training step of EfficientNet-Lite0 in bfloat16 on a processor: our depthwise gradient against torch's own.

    python benchmarks/depthwise_speed.py [--batch 32] [--side 224] [--steps 6] [--threads 1]

Both in turns, in processor seconds, the median of the steps after the first. Prints one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrscreen.nets import efficientnet_lite
from cxrscreen.nets.depthwise import depthwise


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batch", 32), ("side", 224), ("steps", 6), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = efficientnet_lite.EfficientNetLite0(1).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters())
    images = torch.rand(given.batch, 1, given.side, given.side)

    def step() -> float:
        begun = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(images).float().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return time.process_time() - begun

    taken: dict[str, list[float]] = {"ours": [], "torch": []}
    ways: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {"ours": depthwise, "torch": plain}
    for _ in range(given.steps + 1):
        for name, way in ways.items():
            efficientnet_lite.depthwise = way  # type: ignore[attr-defined]
            taken[name].append(step())
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    seconds = {name: round(value, 2) for name, value in medians.items()}
    sys.stdout.write(json.dumps({"seconds_a_step": seconds, "ratio": round(medians["torch"] / medians["ours"], 2)}))
    sys.stdout.write("\n")


def plain(image: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Torch's own gradient."""
    return F.conv2d(image, weight, None, stride, groups=weight.shape[0])


if __name__ == "__main__":
    main()
