"""The first administrator, from the settings: for machines that are set up without a person at a console."""

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cxrscreen.service.access import Principal, Role
from cxrscreen.service.context import Context
from cxrscreen.service.problems import ConflictError
from cxrscreen.service.security.accounts import add_account, has_administrator
from cxrscreen.service.settings import Settings
from cxrscreen.service.store.audit import record
from cxrscreen.service.store.people import User

_LOG = structlog.get_logger(__name__)


def make_first_admin(context: Context) -> bool:
    """Make the account that the settings name, while there is none at all; return whether it was made now.

    Raises
    ------
    ServiceError
        If its name or password cannot be used.
    """
    settings = context.settings
    if settings.first_admin is None or settings.first_admin_password is None:
        return False
    try:
        with context.database.writing() as session:
            if session.scalar(select(User.id).limit(1)) is not None:
                return False
            password = settings.first_admin_password.get_secret_value()
            user = add_account(session, settings.first_admin, Role.ADMIN, context.now(), password=password)
    except (ConflictError, IntegrityError):
        # Another server that started at the same moment was quicker.
        return False
    record(context, Principal("settings", Role.ADMIN, "console"), "account.added", "account", user.id, given="admin")
    _LOG.info("first administrator made; its password may leave the settings now")
    return True


def somebody_can_sign_in(context: Context) -> bool:
    """Tell whether the service can be used without the settings' token."""
    settings: Settings = context.settings
    if settings.first_admin is not None or settings.oidc is not None:
        return True
    with context.database.reading() as session:
        return has_administrator(session)
