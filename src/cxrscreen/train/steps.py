"""Steps of a long training: done once, stored whole, and never reused for another recipe or other data."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from cxrscreen.errors import RecipeError

GENERATION = 2
"""Of the code that trains; raised with every change after which the same settings and images give other weights, so
that no work folder mixes the two. 2: running statistics of EfficientNet-Lite0 that keep up with short trainings; heads
fitted to exported features; COMiT-Net's known regions drawn as one group, and ignored where the image is erased."""


def once(file: Path, depends: Mapping[str, object], make: Callable[[Path], None]) -> str:
    """Make a file unless a run before this one has made it from the same things.

    Parameters
    ----------
    file
        What the step leaves behind. Its folder also keeps what the step needs to go on after a stop.
    depends
        All that the result depends on: parts of the recipe, digests of splits, fingerprints of earlier steps.
    make
        Writes the file at the path it is given; that path becomes ``file`` only when it is complete.

    Returns
    -------
    str
        Fingerprint of ``depends`` and of :data:`GENERATION`, for the steps that build on this one.

    Raises
    ------
    RecipeError
        If the folder holds this step, finished or begun, made from other things or by an earlier generation.
    """
    made_from = {"generation": GENERATION, "depends": depends}
    fingerprint = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    stamp = file.with_name(f"{file.name}.made-from")
    if stamp.is_file() and stamp.read_text(encoding="ascii").strip() != fingerprint:
        raise RecipeError(
            f"The work folder holds {file.parent.name}/{file.name} of another recipe or of other data, or of an "
            "earlier version of the training: give another folder with --work, or remove this one."
        )
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(f"{fingerprint}\n", encoding="ascii")
        part = file.with_name(f"part-{file.name}")
        make(part)
        part.replace(file)
    return fingerprint
