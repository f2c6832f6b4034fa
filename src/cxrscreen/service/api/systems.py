"""The systems that the service screens with."""

from functools import lru_cache

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cxrscreen import RESEARCH_USE
from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Viewer
from cxrscreen.service.context import Here
from cxrscreen.systems.bundle import Card, open_bundle
from cxrscreen.systems.registry import bundle_named

router = APIRouter(prefix=f"{PREFIX}/systems", tags=["systems"])


class System(BaseModel):
    """A system and the model that it runs."""

    name: str
    screens_every_image: bool
    orders_worklist: bool
    bundle: str = Field(description="name@version of the model bundle.")
    operating_points: dict[str, float] = Field(description="Threshold by decision.")
    research_use: str = RESEARCH_USE


@router.get("")
def systems(here: Here, _asking: Viewer) -> list[System]:
    """List the systems."""
    used = here.settings.used_systems
    found = []
    for name, bundle in here.settings.systems.items():
        card = _card(bundle, name)
        found.append(
            System(
                name=name,
                screens_every_image=name in used,
                orders_worklist=name == used[0],
                bundle=card.bundle_id,
                operating_points={stage: entry.point().threshold for stage, entry in card.stages.items()},
            )
        )
    return found


@lru_cache(maxsize=16)
def _card(bundle: str | None, name: str) -> Card:
    return open_bundle(bundle_named(bundle, name)).card
