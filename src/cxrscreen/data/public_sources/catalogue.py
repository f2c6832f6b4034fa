"""All public sources, by name."""

from cxrscreen.data.public_sources.bimcv import BIMCV_NEGATIVE, BIMCV_POSITIVE
from cxrscreen.data.public_sources.chexpert import CHEXPERT
from cxrscreen.data.public_sources.cohen import COHEN
from cxrscreen.data.public_sources.covidnet_initiatives import ACTUALMED, FIGURE1
from cxrscreen.data.public_sources.covidx import COVIDX
from cxrscreen.data.public_sources.gathering import SourceError
from cxrscreen.data.public_sources.hannover import HANNOVER
from cxrscreen.data.public_sources.jsrt import JSRT
from cxrscreen.data.public_sources.kermany import CORONAHACK, KERMANY
from cxrscreen.data.public_sources.nih import NIH
from cxrscreen.data.public_sources.padchest import PADCHEST
from cxrscreen.data.public_sources.radiography import RADIOGRAPHY
from cxrscreen.data.public_sources.rsna import RSNA
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tuberculosis_sets import MONTGOMERY, SHENZHEN

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        COHEN,
        HANNOVER,
        FIGURE1,
        ACTUALMED,
        BIMCV_POSITIVE,
        BIMCV_NEGATIVE,
        COVIDX,
        RADIOGRAPHY,
        CORONAHACK,
        KERMANY,
        NIH,
        RSNA,
        CHEXPERT,
        PADCHEST,
        JSRT,
        MONTGOMERY,
        SHENZHEN,
    )
}


def source_named(name: str) -> Source:
    """Find a source.

    Raises
    ------
    SourceError
        If there is none of this name.
    """
    if name.lower() not in SOURCES:
        raise SourceError(f"There is no source {name!r}: use one of {', '.join(SOURCES)}.")
    return SOURCES[name.lower()]
