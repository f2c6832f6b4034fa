"""The COVID-CXNet paper's base model: five convolutions, no pooling, no normalisation, three dense layers (Fig. 5)."""

from torch import Tensor, nn
from torch.nn import functional as F

from cxrscreen.nets.classifier import Classifier

FILTERS, LAYERS, NODES = 32, 5, 10


class BaseCxr(Classifier):
    """Five 3 x 3 convolutions of 32 filters, flattened, then dense layers of 10, 10 and ``num_outputs`` nodes.

    Section 4.1 of the paper. Each convolution halves the image by a stride of 2 without padding, as in the authors'
    code; the text does not say how the image gets smaller, and without it the first dense layer alone would have thirty
    million weights. Their versions 1 and 2 (Tables 1 and 2) differ in what they were trained on and in the input's
    channels, not in layers.

    Parameters
    ----------
    side
        Side of the input, pixels, at least 95.
    num_outputs
        Number of logits.
    in_channels
        1 for the grey image (version 1), 3 for original, CLAHE and BEASF (version 2).

    Notes
    -----
    Input float (N, in_channels, side, side) in [-1, 3]; output logits (N, num_outputs).
    """

    def __init__(self, side: int, num_outputs: int = 1, in_channels: int = 1) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(in_channels if index == 0 else FILTERS, FILTERS, 3, stride=2) for index in range(LAYERS)
        )
        places = side
        for _ in range(LAYERS):
            places = (places - 3) // 2 + 1
        if places < 2:
            raise ValueError(f"a side of {side} pixels is too small for five halvings: take at least 95")
        self.dense1 = nn.Linear(FILTERS * places * places, NODES)
        self.dense2 = nn.Linear(NODES, NODES)
        self.classifier = nn.Linear(NODES, num_outputs)
        self.dropout, self.pooling = 0.0, "image"
        self.num_features = self.num_middle_features = FILTERS
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def maps_by_depth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the fourth and of the fifth convolution, (N, 32, h, w), not negative."""
        middle = x
        for convolution in self.convolutions:
            middle, x = x, F.relu(convolution(x))
        return middle, x

    def pool(self, features: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002
        """The second dense layer's ten values, not negative, (N, 10)."""
        return F.relu(self.dense2(F.relu(self.dense1(features.flatten(1)))))
