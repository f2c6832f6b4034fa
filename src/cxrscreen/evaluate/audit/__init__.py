"""Audits: what a system knows besides the disease, asked test by test, each with its verdict in plain words."""
