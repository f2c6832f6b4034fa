"""Patch voting: lungs and heart segmented, random lung patches classified, a majority vote (Oh et al., 2020)."""
