"""Public chest X-ray data sets: what they are, how to fetch them, and from their publishers' files to a manifest."""

from cxrscreen.data.public_sources.build import Outcome, build_manifest
from cxrscreen.data.public_sources.catalogue import SOURCES, source_named
from cxrscreen.data.public_sources.gathering import COPY_OF, Gathering, SourceError
from cxrscreen.data.public_sources.join import Joined, join_manifests
from cxrscreen.data.public_sources.source import Source

__all__ = [
    "COPY_OF",
    "SOURCES",
    "Gathering",
    "Joined",
    "Outcome",
    "Source",
    "SourceError",
    "build_manifest",
    "join_manifests",
    "source_named",
]
