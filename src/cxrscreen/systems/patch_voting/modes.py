"""Ways to ask the classifier about the patches of an image: one is the reference, the others are close and faster.

``exact``: every patch by itself, float32, the reference. The others compute at half the width. ``bf16``: every patch
by itself. ``early``: layers down to a stride of 8 once for the whole image, the others for each patch. ``middle``:
down to a stride of 16. ``shared``: all layers once for the whole image. Where the lead of such a vote is less
than the card's ``ask_again``, every patch is asked by itself after all. A fast way is used in screening only where its
agreement was measured, and the card says so (``python benchmarks/patch_voting_speed.py``).
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from threading import Lock
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, Precision, engine_for
from cxrscreen.systems.bundle import Bundle, preprocessing_of
from cxrscreen.systems.patch_voting.ballots import Ballot, ask_patches
from cxrscreen.systems.patch_voting.preprocessing import Mode, Preprocessing
from cxrscreen.systems.patch_voting.shared import ask_early, ask_shared
from cxrscreen.systems.patch_voting.shared_head import fitted_head, own_head, shared_head, write_shared_head
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


def load_modes(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> dict[Mode, Callable[[], Ask]]:
    """The modes that a bundle has, the reference first; what one needs is compiled when it is first called, and once.

    A mode's own precision goes before that of ``engine``, as it is what its name says: ``--precision f32`` moves the
    organ network alone where a card asks in a faster mode. A call raises a
    :class:`BundleError` where a graph is damaged.
    """
    exact = _once(lambda: partial(ask_patches, _engines(bundle, "exact", engine)[0]))
    return {
        mode: exact if mode == "exact" else _once(partial(_faster, bundle, mode, engine, exact))
        for mode in modes_of(bundle.card.files)
    }


def fit_shared_head(
    bundle: Bundle,
    pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]],
    penalty: float,
    engine: EngineSettings = DEFAULT_ENGINE,
) -> Bundle:
    """Fit the linear layer of shared maps to what the reference says of the same patches, and write it.

    Parameters
    ----------
    bundle
        One with the mode ``shared``; it is asked in ``exact`` afterwards, until its modes are measured again.
    pictures
        Training images that patches are cut from, and their lungs: uint8 and bool (S, S).
    penalty
        See :func:`~cxrscreen.systems.patch_voting.shared_head.fitted_head`.
    engine
        What runs the networks.
    """
    settings = replace(preprocessing_of(bundle, Preprocessing), ask_again=0.0)
    modes = load_modes(bundle, engine)
    shared, exact = (
        np.concatenate([modes[mode]()(*picture, settings).pooled for picture in pictures])
        for mode in ("shared", "exact")
    )
    own = own_head(engine_for(bundle.file(CLASSIFIER), engine))
    return write_shared_head(bundle, fitted_head(own, shared, exact, penalty))


def _faster(bundle: Bundle, mode: Mode, engine: EngineSettings, exact: Callable[[], Ask]) -> Ask:
    engines = _engines(bundle, mode, engine)
    ask: Ask
    if mode == "bf16":
        ask = partial(ask_patches, engines[0])
    elif mode == "shared":
        ask = partial(ask_shared, engines[0], shared_head(bundle) or own_head(engines[0]))
    else:
        ask = partial(ask_early, engines[0], engines[1])
    return _sure(ask, exact)


def _engines(bundle: Bundle, mode: Mode, engine: EngineSettings) -> list[Engine]:
    precision: Precision = "f32" if mode == "exact" or engine.backend != "openvino" else "bf16"
    return [engine_for(bundle.file(name), replace(engine, precision=precision)) for name in _GRAPHS[mode]]


def _once(load: Callable[[], Ask]) -> Callable[[], Ask]:
    """Load at the first call; others that come meanwhile wait for it."""
    lock, kept = Lock(), cache(load)

    def loaded() -> Ask:
        with lock:
            return kept()

    return loaded


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
