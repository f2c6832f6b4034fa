"""Export a bundle to another program's format, and check that an exported folder still is its bundle."""

import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import CARD, Bundle, begin_bundle, open_bundle, shipped_bundles
from cxrscreen.systems.interchange.description import digest_of
from cxrscreen.systems.interchange.networks import Network, networks_of
from cxrscreen.systems.interchange.pages import licence_of
from cxrscreen.systems.interchange.phantom import Difference
from cxrscreen.systems.interchange.record import Format, Record, read_record, write_record

Compared = dict[str, dict[str, Difference]]


class _FormatModule(Protocol):
    write: Callable[[Bundle, tuple[Network, ...], Path], None]
    compare: Callable[[Bundle, tuple[Network, ...], Path], Compared]


# Imported when asked for: MONAI and torch need not be installed for the others.
FORMATS: Mapping[Format, str] = {"onnx": "onnx_format", "monai": "monai_format", "triton": "triton_format"}


def export_bundle(bundle: Bundle, kind: Format, out: Path) -> Record:
    """Write a bundle in another format, compare every network with the bundle's own on a phantom, and record it.

    Parameters
    ----------
    bundle
        What is exported.
    kind
        ``"onnx"``, ``"monai"`` or ``"triton"``.
    out
        A new or empty folder, which appears when it is complete.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    BundleError
        If what the format needs is not installed, or an exported network answers otherwise than the bundle.
    """
    part = begin_bundle(out)
    try:
        networks, module = networks_of(bundle), _module(kind)
        module.write(bundle, networks, part)
        (part / "LICENSE").write_text(licence_of(bundle), encoding="utf-8")
        if not any(part.rglob(CARD)):
            shutil.copyfile(bundle.file(CARD), part / CARD)
        compared = _agreeing(module.compare(bundle, networks, part), bundle)
        record = write_record(part, kind, bundle, compared)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def check_export(folder: Path, bundle: Bundle | None = None) -> tuple[Record, Compared]:
    """Read an exported folder back and compare it with the bundle that it came from.

    Files are compared by digest, descriptions and configurations word by word, answers on a phantom.

    Parameters
    ----------
    folder
        Of :func:`export_bundle`.
    bundle
        The bundle; None: the one that ships under the name in the record.

    Returns
    -------
    tuple
        The record, and the differences measured now, by network and output.

    Raises
    ------
    BundleError
        If something is missing or altered, the bundle is another one, or a network answers otherwise.
    """
    record = read_record(folder)
    bundle = bundle or _shipped(record)
    if digest_of(bundle) != record.bundle_sha256:
        raise BundleError(
            f"The export {folder.name} was made from another state of a bundle ({record.bundle}, card "
            f"{record.bundle_sha256[:12]}) than {bundle.card.bundle_id} (card {digest_of(bundle)[:12]}): export again."
        )
    return record, _agreeing(_module(record.format).compare(bundle, networks_of(bundle), folder), bundle)


def _module(kind: Format) -> _FormatModule:
    try:
        return cast(_FormatModule, import_module(f"cxrscreen.systems.interchange.{FORMATS[kind]}"))
    except ModuleNotFoundError as fault:
        raise BundleError(
            f"The format {kind} needs {fault.name}, which is not installed: install cxrscreen[interchange]."
        ) from fault


def _shipped(record: Record) -> Bundle:
    name = record.bundle.partition("@")[0]
    if name not in shipped_bundles():
        raise BundleError(f"The bundle {record.bundle} does not ship with this version: name its folder with --bundle.")
    return open_bundle(name)


def _agreeing(compared: Compared, bundle: Bundle) -> Compared:
    for network, outputs in compared.items():
        for output, each in outputs.items():
            if not each.agrees:
                raise BundleError(
                    f"The exported network {network} answers otherwise than {bundle.card.bundle_id}: its {output} "
                    f"differs by up to {each.largest:.2g} on a phantom; export it again."
                )
    return compared
