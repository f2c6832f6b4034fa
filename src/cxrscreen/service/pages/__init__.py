"""The pages: what a radiographer and a radiologist see of the service in a browser.

====================  ==================================================================================================
``routing``           ``pages_router``, ``page``: templates with the headers of a page; errors as pages
``rendering``         the templates' environment; ``wording``: words that the report does not have
``static_files``      style sheets and scripts, kept by the browser under an address that names their content
``sign_in``           the form; its script opens a session by the API
``account``           one's own password, tokens and sessions
``upload``            the drop zone; its script sends to the API and follows the images
``worklist``          studies by urgency, with filters, live
``study``             one study: viewer, decisions, measurements, earlier images, the readers' answers
``answers``           what a page shows of a result; ``measured``: what its operating points did
``timeline``          a person's studies, onset and RT-PCR as geometry; ``charts``: figures as geometry
``compare``           two results side by side: two systems, or an image and an earlier one
``viewing``           grey values (16 bits) and maps for the viewer
``figures``           volumes, turnaround, agreement with readers, drift of the scores
====================  ==================================================================================================

Every page of a session holds the session's token against forged requests, which its scripts send with each change.
"""

from typing import Final

from fastapi import APIRouter

from cxrscreen.service.pages import account, compare, figures, sign_in, static_files, study, upload, viewing, worklist

ROUTERS: Final[tuple[APIRouter, ...]] = (
    static_files.router,
    sign_in.router,
    account.router,
    worklist.router,
    upload.router,
    study.router,
    compare.router,
    viewing.router,
    figures.router,
)
"""Every route of the pages."""
