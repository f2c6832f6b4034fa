"""The figures that Malhotra et al. (2022, COMiT-Net) print, and what their counts say.

The test part has 125 COVID-19 images of the 415 collected ones (the 2223 of the paper's Table 3 hold the 2098 of
BIMCV-COVID19+, which are measured apart) and 2077 + 4097 = 6174 others. A printed sensitivity that is a whole number of
125 images has that count beside it, and with it an interval.
"""

from collections.abc import Mapping

from cxrscreen.evaluate.reproduce.paper import Printed

POSITIVES, NEGATIVES = 125, 6174

SAME_KERNEL = "the Gaussian and the radial basis function are one and the same kernel: the two printed rows are equal"


def _sensitivity(percent: float, remark: str = "") -> Printed:
    count = percent * POSITIVES / 100
    if abs(count - round(count)) < 1e-6:
        return Printed(percent, (round(count), POSITIVES), remark)
    return Printed(percent, None, remark or f"no count of {POSITIVES} COVID-19 images gives {percent:.2f}")


def _row(at_99: float, at_90: float, error: float, remark: str = "") -> Mapping[str, Printed]:
    return {
        "sensitivity_0.99": _sensitivity(at_99, remark),
        "sensitivity_0.90": _sensitivity(at_90),
        "equal_error_rate": Printed(error),
    }


TABLE4: Mapping[str, Mapping[str, Printed]] = {
    "densenet121": _row(60.80, 90.40, 9.82),
    "mobilenetv2": _row(67.20, 93.60, 8.04),
    "resnet18": _row(56.00, 81.60, 13.78),
    "vgg19": _row(50.40, 82.40, 13.70),
    "forest": _row(79.20, 95.20, 7.34),
    "svm-sigmoid": _row(6.40, 24.00, 41.46),
    "svm-rbf": _row(82.40, 88.80, 11.38, SAME_KERNEL),
    "1234": _row(87.20, 96.80, 7.30),
}
"""By variant, then by figure of :data:`cxrscreen.evaluate.screening_points.POINTS`."""

TABLE5: Mapping[str, Printed] = {
    "1234": _sensitivity(96.80),
    "4": _sensitivity(84.40),
    "14": _sensitivity(94.40),
    "24": _sensitivity(57.60),
    "34": _sensitivity(67.80),
    "124": _sensitivity(92.80),
    "134": _sensitivity(87.20),
    "234": _sensitivity(54.40),
}
"""By the numbers of the tasks that are learned; at 90 % specificity, to judge by all four in Table 4."""

LUNG_IOU: Mapping[str, float] = {"unet": 0.82, "mask-rcnn": 0.85, "segnet": 0.83, "1234": 0.85}
"""Section 4.1; against masks of two solid boxes for each image (section 3.2)."""
DISEASE_SENSITIVITY: Mapping[str, float] = {"unet": 0.42, "mask-rcnn": 0.51, "segnet": 0.31, "1234": 0.87}
"""Section 4.1: share of the reference pixels that is found; no figure of false ones is printed."""

EXTERNAL: Mapping[str, Printed] = {
    "bimcv-positive": Printed(85.46, (1793, 2098)),
    "armiro": Printed(98.75, (395, 400)),
    "hannover": Printed(99.45, (182, 183)),
}
"""Section 4.4: sensitivity at the 90 % specificity of the paper's own test part, by the name that manifests give the
source; no external specificity."""

_ALL_SAMPLES = (
    "of how many images is not said: 6299 of the test part, or 8397 with the 2098 of BIMCV-COVID19+, fit alike"
)
HEALTH_ACCURACY = Printed(75.17, (4735, POSITIVES + NEGATIVES), _ALL_SAMPLES)
OTHER_ACCURACY = Printed(73.87, (4653, POSITIVES + NEGATIVES), _ALL_SAMPLES)
COVID19_ACCURACY = Printed(
    98.79,
    (6223, POSITIVES + NEGATIVES),
    "at which threshold is not said; the printed precision and recall at 99 % specificity make 6222 right",
)
COVID19_UNHEALTHY = Printed(
    97.25, None, "no count of 125 COVID-19 test images gives 97.25; 2444 of the 2513 of all parts and sources would"
)
"""Section 4.2, at no threshold that is named: healthy or unhealthy, other diseases, COVID-19 or not, and the share of
the COVID-19 images that are called unhealthy."""

PRECISION_99 = (109, 170)
"""Section 4.2: at 99 % specificity, COVID-19 images among those called, which fits the printed 64.12."""
CALLED_AT_90 = (121, 121 + round(0.10 * NEGATIVES))
"""At 90 % specificity, derived: a tenth of the negatives is called too."""
