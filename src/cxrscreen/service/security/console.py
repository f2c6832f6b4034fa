"""Who works at the machine's console, for the audit log: whoever reaches the database may do everything."""

import getpass

from cxrscreen.service.access import Principal, Role


def console_principal() -> Principal:
    """Return the user of the operating system as who asks."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "unknown"
    return Principal(f"console ({name})"[:128], Role.ADMIN, "console")
