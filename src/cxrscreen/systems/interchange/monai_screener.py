"""What the run of a MONAI Bundle calls: a folder of radiographs screened with the networks that MONAI holds."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import BundleError, CxrscreenError
from cxrscreen.imaging.encode import encode_png
from cxrscreen.imaging.find import find_images
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import INT8_SUFFIX, EngineSettings
from cxrscreen.runtime.export_modules import read_state, write_exported
from cxrscreen.systems.bundle import CARD, Bundle, open_bundle, sha256_of, write_card
from cxrscreen.systems.contract import Screening, System
from cxrscreen.systems.patch_voting.mode_choice import asked_exactly
from cxrscreen.systems.registry import load_system

if TYPE_CHECKING:
    from torch import nn

RESULTS = "screenings.json"
CHANGED = "+changed"
"""Ends the version of a bundle whose weights were changed outside of this project."""
NO_LONGER = (
    "Weights were changed after the bundle was measured: its figures, operating points and calibration no longer hold."
)


class Screener:
    """A system with networks given as torch modules.

    Parameters
    ----------
    bundle
        Folder of the bundle: its graphs, preprocessing and card.
    networks
        Modules by the name of their weights, with any weights.
    states
        File of each module's state_dict.

    Raises
    ------
    BundleError
        If the bundle is not whole, or a state is missing or another network's.
    """

    def __init__(self, bundle: str | Path, networks: Mapping[str, "nn.Module"], states: Mapping[str, str]) -> None:
        self._bundle = open_bundle(Path(bundle))
        self._networks = {name: read_state(network, Path(states[name])) for name, network in networks.items()}

    def screen_folder(self, dataset_dir: str | Path, output_dir: str | Path) -> list[dict[str, Any]]:
        """Screen every image below a folder.

        Parameters
        ----------
        dataset_dir
            Radiographs in any format that cxrscreen reads; what cannot be read is reported with its reason.
        output_dir
            Made where it is missing; receives ``screenings.json`` and a lung mask ``NUMBER-lungs.png`` for each image.

        Returns
        -------
        list
            One entry for each file, named by its path below the folder, as written.

        Raises
        ------
        BundleError
            If the folder of images is missing.
        """
        folder, out = Path(dataset_dir), Path(output_dir)
        if not folder.is_dir():
            raise BundleError(f"There is no folder {folder.name}: name the radiographs with --dataset_dir.")
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            bundle = with_networks(self._bundle, self._networks, Path(place, "bundle"))
            # The reference: an 8-bit twin of a graph would hold other weights than these.
            system = load_system(bundle.folder, engine=EngineSettings(precision="f32"))
            found = find_images([folder])
            rows = [
                {"file": file.relative_to(folder).as_posix(), **_screened(system, file, number, out)}
                for number, file in enumerate(found, start=1)
            ]
        content = {"research_use": RESEARCH_USE, "bundle": bundle.card.bundle_id, "images": rows}
        (out / RESULTS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return rows


def with_networks(bundle: Bundle, networks: Mapping[str, "nn.Module"], folder: Path) -> Bundle:
    """Write a bundle with the weights of modules in place of its own.

    Parameters
    ----------
    bundle
        Where all else comes from.
    networks
        Modules by the name of their weights.
    folder
        A folder that is not there yet.

    Returns
    -------
    Bundle
        Equal to the given one where no weights differ. Else its version ends in ``+changed``, it has no results, and
        its limits say so.

    Raises
    ------
    BundleError
        If a module's tensors are not those of the graphs.
    """
    shutil.copytree(bundle.folder, folder)
    for name, network in networks.items():
        write_exported(network, folder / f"{name}.safetensors")
    changed = [
        name
        for name in networks
        if sha256_of(folder / f"{name}.safetensors") != bundle.card.files[f"{name}.safetensors"]
    ]
    if not changed:
        return open_bundle(folder)
    for graph in folder.glob("*.onnx"):
        _point_at(graph, {f"{name}.safetensors" for name in changed})
    for twin in folder.glob(f"*{INT8_SUFFIX}"):
        twin.unlink()
        twin.with_suffix(".bin").unlink(missing_ok=True)
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != CARD}
    card = bundle.card
    # A fast way to ask about patches was chosen by measuring the weights that were there.
    card = asked_exactly(card) if "mode" in card.preprocessing else card
    words = {"version": card.version + CHANGED, "results": {}, "limits": [NO_LONGER, *card.limits], "files": files}
    return write_card(folder, card.model_copy(update=words))


def _point_at(graph: Path, weights: set[str]) -> None:
    """Write the new digest of its weights into a graph, if they are among those that changed."""
    model = onnx.load(graph, load_external_data=False)
    about = {entry.key: entry for entry in model.metadata_props}
    if about["weights"].value in weights:
        about["weights_sha256"].value = sha256_of(graph.with_name(about["weights"].value))
        onnx.save(model, graph)


def _screened(system: System, file: Path, number: int, out: Path) -> dict[str, Any]:
    try:
        screening = system.screen(read(file), explain=False)
    except CxrscreenError as error:
        return {"status": "failed", "reason": str(error)}
    mask = f"{number}-lungs.png"
    try:
        (out / mask).write_bytes(encode_png(screening.lung_mask))
    except OSError as error:
        return {
            "status": "failed",
            "reason": f"{mask} could not be written ({error.strerror}); check space and rights.",
        }
    return {"lung_mask": mask, **_row(screening)}


def _row(screening: Screening) -> dict[str, Any]:
    return {
        "status": screening.status,
        "finding": screening.finding,
        "triage_score": screening.triage_score,
        "probabilities": screening.probabilities,
        "operating_points": {stage.name: {stage.operating_point: stage.threshold} for stage in screening.stages},
        "classes": dict(screening.classes),
        "warnings": list(screening.warnings),
        "bundle": screening.bundle,
    }
