"""``python -m cxrscreen``."""

from cxrscreen.cli.app import main

main()
