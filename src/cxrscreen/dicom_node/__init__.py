"""The package in a hospital's network: radiographs in by C-STORE, results out to the archive."""
