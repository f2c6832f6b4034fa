"""The pages: what a radiographer and a radiologist see of the service in a browser.

====================  ==================================================================================================
``routing``           ``pages_router``, ``page``: templates with the headers of a page; errors as pages
``rendering``         the templates' environment; ``wording``: words that the report does not have
``static_files``      style sheets and scripts, kept by the browser under an address that names their content
``sign_in``           the form; who sends it is checked in ``service/security``
``upload``            the drop zone; its script sends to the API and follows the images
``worklist``          studies by urgency, with filters, live
``study``             one study: viewer, decisions, measurements, earlier images, the readers' answers
``compare``           two results side by side: two systems, or an image and an earlier one
``viewing``           grey values (16 bits) and maps for the viewer
``figures``           volumes, turnaround, agreement with readers, drift of the scores
====================  ==================================================================================================

What the pages ask of accounts and sessions: ``request.state.csrf``, where there is one, goes into every form as
``csrf_token`` and into every request of a script as ``X-CSRF-Token``; ``POST /sign-in`` takes ``name``, ``password``
and ``next`` and answers a refusal with :func:`~cxrscreen.service.pages.sign_in.sign_in_page`; ``POST /sign-out`` ends
a session.
"""
