"""Systems: one contract, a folder per published system."""
