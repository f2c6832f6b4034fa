"""Ways to ask the classifier about the patches of an image: one is the reference, the others are close and faster.

``exact``: every patch by itself, float32, the reference. The others compute at half the width. ``bf16``: every patch
by itself. ``early``: layers down to a stride of 8 once for the whole image, the others for each patch. ``middle``:
down to a stride of 16. ``shared``: all layers once for the whole image. Where the lead of such a vote is less
than the card's ``ask_again``, every patch is asked by itself after all. A fast way is used in screening only where its
agreement was measured, and the card says so (``python benchmarks/patch_voting_speed.py``).
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import DEFAULT_ENGINE, EngineSettings, Precision, engine_for
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.patch_voting.ballots import Ballot, ask_patches
from cxrscreen.systems.patch_voting.preprocessing import Mode, Preprocessing
from cxrscreen.systems.patch_voting.shared import ask_early, ask_shared
from cxrscreen.systems.patch_voting.shared_head import own_head, shared_head
from cxrscreen.systems.patch_voting.voting import majority_vote

CLASSIFIER, SHARED = "classifier.onnx", "classifier-shared.onnx"
"""The bundle's graphs of the whole network, for patches and for the whole image."""
HALVES: Mapping[int, tuple[str, str]] = {
    8: ("classifier-early.onnx", "classifier-late.onnx"),
    16: ("classifier-middle.onnx", "classifier-deep.onnx"),
}
"""Those of its two parts, by the stride at which it is parted; only EfficientNet-Lite0 is."""

Ask = Callable[[NDArray[np.uint8], NDArray[np.bool_], Preprocessing], Ballot]
"""From the image that patches are cut from, and its lungs, to what the classifier says of each patch."""


def modes_of(files: Container[str]) -> tuple[Mode, ...]:
    """The modes that a bundle with these files has, the reference first."""
    return tuple(mode for mode in get_args(Mode) if all(name in files for name in _GRAPHS[mode]))


def load_mode(bundle: Bundle, mode: Mode, engine: EngineSettings = DEFAULT_ENGINE) -> Ask:
    """Compile what a mode needs; its own precision goes before the settings', as it is what its name says.

    Raises
    ------
    BundleError
        If the bundle lacks a graph of the mode.
    """
    precision: Precision = "f32" if mode == "exact" or engine.backend != "openvino" else "bf16"
    engines = [engine_for(bundle.file(name), replace(engine, precision=precision)) for name in _GRAPHS[mode]]
    if mode == "exact":
        return partial(ask_patches, engines[0])
    ask: Ask
    if mode == "bf16":
        ask = partial(ask_patches, engines[0])
    elif mode == "shared":
        ask = partial(ask_shared, engines[0], shared_head(bundle) or own_head(engines[0]))
    else:
        ask = partial(ask_early, engines[0], engines[1])
    return _sure(ask, cache(lambda: load_mode(bundle, "exact", engine)))


def _sure(ask: Ask, exact: Callable[[], Ask]) -> Ask:
    """Ask the reference where a faster vote is close."""

    def asked(image: NDArray[np.uint8], lungs: NDArray[np.bool_], settings: Preprocessing) -> Ballot:
        ballot = ask(image, lungs, settings)
        sure = majority_vote(ballot.probabilities).lead >= settings.ask_again
        return ballot if sure else exact()(image, lungs, settings)

    return asked


_GRAPHS: dict[Mode, tuple[str, ...]] = {
    "exact": (CLASSIFIER,),
    "bf16": (CLASSIFIER,),
    "early": HALVES[8],
    "middle": HALVES[16],
    "shared": (SHARED,),
}
