"""Who a container runs as: `name|uid[:group|gid]` looked up in the image's own passwd and group. Pure.

Source: OCI image-spec config.md, "User"; Docker's rules: an unknown name is an error, an unknown number is itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from paas.errors import InvalidInput

_MAX_ID = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Ids inside the container, and where the user is at home."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def account_for(user: str, passwd: str, group: str, *, more_groups: Iterable[str] = ()) -> Account:
    """Resolve a user, and more groups for him, as the image knows them. Raises InvalidInput."""
    account = _account(user, passwd, group)
    more = {_group_id(name, group) for name in more_groups} - {account.gid}
    return _checked(user, replace(account, groups=tuple(sorted({*account.groups, *more}))))


def _account(user: str, passwd: str, group: str) -> Account:
    name, _, group_name = user.partition(":")
    name = name or "0"
    entry = _passwd_entry(name, passwd)
    if entry is None and not name.isdecimal():
        raise InvalidInput(f"the image has no user '{name}'", remedy="use a user of its /etc/passwd, or a number")
    uid, gid, login, home = entry if entry is not None else (int(name), 0, "", "/")
    if group_name:
        return Account(uid=uid, gid=_group_id(group_name, group), home=home or "/")
    groups = tuple(sorted({found for found in _groups_of(login, group) if found != gid}))
    return Account(uid=uid, gid=gid, groups=groups, home=home or "/")


def _checked(user: str, account: Account) -> Account:
    if max(account.uid, account.gid, *account.groups) > _MAX_ID:
        raise InvalidInput(f"'{user}' is beyond the {_MAX_ID + 1} ids a container has")
    return account


def _passwd_entry(name: str, passwd: str) -> tuple[int, int, str, str] | None:
    by_id = None
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) < 6 or not (fields[2].isdecimal() and fields[3].isdecimal()):
            continue
        entry = (int(fields[2]), int(fields[3]), fields[0], fields[5])
        if fields[0] == name:
            return entry
        if name.isdecimal() and int(name) == entry[0] and by_id is None:
            by_id = entry
    return by_id


def _group_id(name: str, group: str) -> int:
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] == name and fields[2].isdecimal():
            return int(fields[2])
    if name.isdecimal():
        return int(name)
    raise InvalidInput(f"the image has no group '{name}'", remedy="use a group of its /etc/group, or a number")


def _groups_of(login: str, group: str) -> list[int]:
    found = []
    for line in group.splitlines():
        fields = line.split(":")
        if login and len(fields) >= 4 and fields[2].isdecimal() and login in fields[3].split(","):
            found.append(int(fields[2]))
    return found
