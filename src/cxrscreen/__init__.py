"""Chest X-ray screening: lungs, pneumonia, COVID-19, and the maps that explain them. Research use only."""

__version__ = "0.1.0"

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
"""The statement shown wherever a person sees a result."""
