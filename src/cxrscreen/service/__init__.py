"""The screening service: radiographs come in by HTTP, are screened one after another, and nothing accepted is lost.

How a radiograph goes through it, and where that is written:

==================  ====================================================================================================
``settings``        what can be set, from the environment, a file and the command line
``context``         the open store and the clock, which every route and every worker gets
``app``             ``create_app``: the web application; its routes are registered there and nowhere else
``access``          who asks (``Principal``), and ``require(Role...)``, which every route declares
``problems``        the errors a client can meet, told as problem details (RFC 9457)
``requests``        what happens around every request: a number, a line in the log, a bound on its size
``logs``            the log, without patient data
``api/``            the routes under ``/api/v1``, a file a subject, and the few outside it (health, metrics)
``header``          what the start of a file says of it, before a pixel is decoded
``archive``         a zip archive -> its files, within bounds
``intake``          bytes -> an image on disk, rows in the database, jobs in the queue; then it is acknowledged
``jobs``            the queue: leases by the database's own locking, retries with back-off, what is set aside
``worker``          leases a job, screens, writes the result; any number of processes
``pictures``        the radiograph in a window, maps and lung masks to lay over it; made when they are asked for
``reports``         the report of a result, as page and PDF
``dicom_*``         DICOM: the catalogue, objects of results, what DICOMweb stores, finds and gives, peers and the node
``feed``            webhooks and FHIR servers: who is told of each study that was screened
``housekeeping``    deletion, retention, the sweep of files that nobody needs
``backup``          every row and file in one archive, and back, also from SQLite into PostgreSQL
``run``             the server, its workers and what speaks to other systems under one command
``store/``          the database (SQLAlchemy, Alembic), the content-addressed files, searches and live figures
``security/``       accounts, passwords, sessions, tokens, identity provider: the ways to a ``Principal``
``pages/``          what people see in a browser
==================  ====================================================================================================

A job is safe because of three things. It is in the database before the upload is acknowledged. A worker holds it by a
lease with a key of its own, prolonged while it works; when the worker falls silent another one takes the job, and the
first one's key no longer ends it. The result is written in the same transaction that ends the job, so that there is
one result or none. Files are named by their content and written before the rows that name them; what a killed process
left behind is swept.

The room runs without torch.
"""
