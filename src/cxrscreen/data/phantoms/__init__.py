"""Synthetic chest radiographs with exact masks, so that the project carries no patient's image."""

from cxrscreen.data.phantoms.render import Phantom, make_phantom, render
from cxrscreen.data.phantoms.spec import Frame, Marker, PhantomError, PhantomFinding, PhantomSpec, PhantomView, draw_spec

__all__ = [
    "Frame",
    "Marker",
    "Phantom",
    "PhantomError",
    "PhantomFinding",
    "PhantomSpec",
    "PhantomView",
    "draw_spec",
    "make_phantom",
    "render",
]
