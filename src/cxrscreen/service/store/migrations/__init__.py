"""The history of the database's tables (Alembic); a new step is a new file in ``versions``."""
