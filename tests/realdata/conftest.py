import os
from pathlib import Path

import pytest

from cxrscreen.data.manifest import load_manifest


@pytest.fixture(scope="session")
def pack():
    """The chest X-ray data pack, where it is present."""
    folder = Path(os.environ.get("CXRSCREEN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the data pack is not here: set CXRSCREEN_DATA")
    return load_manifest(folder)
