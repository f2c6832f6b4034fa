"""The command line: thin calls into the rooms below."""
