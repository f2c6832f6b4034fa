"""Engines: a bundle's networks, compiled; arrays in, named arrays out. Export writes what they read."""
