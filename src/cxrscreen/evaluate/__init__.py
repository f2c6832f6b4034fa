"""Metrics with intervals, operating points, and the measurement of a system on a protocol.

Pooled figures are never given without the within-source figures: where every source supplies one class, a pooled figure
measures how well the source is recognised.
"""
