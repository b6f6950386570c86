"""What must hold of accounts and passwords, whoever changes them."""

from __future__ import annotations

from collections.abc import Mapping

from core.access.passwords import password_fault
from core.access.sessions import digest_of
from models.access import Account, Role
from models.errors import FieldFault, InvalidSettings

NAME_FAULT = (
    "Letters, digits, “.”, “_”, “-” and “@”, at most 64, the first and the last one a letter or a "
    "digit."
)


def tag_of(account: Account) -> str:
    """Return what ties a session to the password that it began with: a changed one ends it, whoever
    changes it."""
    return digest_of(account.password or "")


def check_password(password: str, field: str) -> None:
    """Raises InvalidSettings when a password cannot be one."""
    fault = password_fault(password)
    if fault:
        raise InvalidSettings((FieldFault(field, fault),))


def is_last_administrator(accounts: Mapping[str, Account], name: str) -> bool:
    """Whether nobody could administer any more without this account."""
    able = [one for one, account in accounts.items() if _is_able(account)]
    return able == [name]


def need_an_administrator(accounts: dict[str, Account], field: str) -> None:
    """Raises InvalidSettings where nobody could administer any more."""
    if not any(map(_is_able, accounts.values())):
        fault = FieldFault(field, "The last administrator with a password must stay one.")
        raise InvalidSettings((fault,))


def _is_able(account: Account) -> bool:
    return account.role is Role.ADMIN and account.password is not None
