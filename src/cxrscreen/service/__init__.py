"""The screening service: radiographs come in by HTTP, are screened one after another, and nothing accepted is lost.

How a radiograph goes through it, and where that is written:

==================  ====================================================================================================
``settings``        what can be set, from the environment, a file and the command line
``app``             ``create_app``: the web application; its routes are registered there and nowhere else
``access``          who asks (``Principal``), and ``require(Role...)``, which every route declares
``problems``        the errors a client can meet, told as problem details (RFC 9457)
``api/``            the routes under ``/api/v1``, a file a subject, and the few outside it (health, metrics)
``intake``          bytes -> an image on disk, rows in the database, jobs in the queue; then it is acknowledged
``jobs``            the queue: leases by the database's own locking, retries with back-off, what is set aside
``worker``          leases a job, screens, writes the result; any number of processes
``run``             the server and its worker processes under one command
``store/``          the database (SQLAlchemy, Alembic) and the content-addressed files
==================  ====================================================================================================

The room runs without torch. Accounts, sessions and pages belong in ``security`` and ``pages`` beside these files: an
account is one more way to a :class:`~cxrscreen.service.access.Principal`, a page one more router.
"""
