"""Synthetic chest radiographs with exact masks, so that the project carries no patient's image."""

from cxrscreen.data.phantoms.collection import write_examples, write_set
from cxrscreen.data.phantoms.render import Phantom, make_phantom, render
from cxrscreen.data.phantoms.spec import (
    Frame,
    Marker,
    PhantomError,
    PhantomFinding,
    PhantomSpec,
    PhantomView,
    draw_spec,
)
from cxrscreen.data.phantoms.write import (
    Photometric,
    TransferSyntax,
    dicom_dataset,
    write_dicom,
    write_mask,
    write_png,
)

__all__ = [
    "Frame",
    "Marker",
    "Phantom",
    "PhantomError",
    "PhantomFinding",
    "PhantomSpec",
    "PhantomView",
    "Photometric",
    "TransferSyntax",
    "dicom_dataset",
    "draw_spec",
    "make_phantom",
    "render",
    "write_dicom",
    "write_examples",
    "write_mask",
    "write_png",
    "write_set",
]
