"""A Screening as a person or a program reads it: one JSON record, PNG pictures, one HTML page."""
