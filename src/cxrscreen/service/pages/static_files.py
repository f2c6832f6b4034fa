"""Style sheets and scripts of the pages, served from the package under an address that names their content."""

import hashlib
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Depends, Response

from cxrscreen.service.access import OPEN_TO_ALL
from cxrscreen.service.problems import NotFoundError

_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_CONTENT: Final = {
    resource.name: resource.read_bytes()
    for resource in sorted(files("cxrscreen.service.pages").joinpath("static").iterdir(), key=lambda found: found.name)
    if resource.name.rpartition(".")[2] in _KINDS
}
_DIGEST: Final = hashlib.sha256(b"".join(name.encode() + content for name, content in _CONTENT.items())).hexdigest()[
    :12
]
STATIC: Final = f"/static/{_DIGEST}"
"""Where the files are: another release has another address, so that a browser may keep them for good."""

router = APIRouter(include_in_schema=False)


@router.get("/static/{digest}/{name}", dependencies=[Depends(OPEN_TO_ALL)])
def static_file(digest: str, name: str) -> Response:
    """Give a file; one of an older release is given as it is now, and not kept."""
    content = _CONTENT.get(name)
    if content is None:
        raise NotFoundError("There is no such file; load the page again.")
    kept = "public, max-age=31536000, immutable" if digest == _DIGEST else "no-cache"
    return Response(content, media_type=_KINDS[name.rpartition(".")[2]], headers={"Cache-Control": kept})
