"""Names of users and groups -> ids, by the passwd and group files of the image. For COPY --chown.

Source: Dockerfile reference, "COPY --chown"; passwd(5), group(5).
"""

from __future__ import annotations

from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.tree import LayeredTree


def find_owner(text: str, root: LayeredTree) -> tuple[int, int]:
    """Return uid and gid of `user[:group]`; a user without group has its own, a bare uid the same gid. Raises CopyError."""
    user, colon, group = text.partition(":")
    if user.isdecimal():
        uid = gid = int(user)
    else:
        record = _record(root.read_text("etc/passwd"), user)
        if len(record) < 4 or not (record[2] + record[3]).isdecimal():
            raise CopyError(f"unable to find user {user}: no matching entries in passwd file")
        uid, gid = int(record[2]), int(record[3])
    if colon and group:
        gid = int(group) if group.isdecimal() else _find_group(group, root)
    return uid, gid


def _find_group(group: str, root: LayeredTree) -> int:
    record = _record(root.read_text("etc/group"), group)
    if len(record) < 3 or not record[2].isdecimal():
        raise CopyError(f"unable to find group {group}: no matching entries in group file")
    return int(record[2])


def _record(text: str, name: str) -> list[str]:
    return next((fields for fields in (line.split(":") for line in text.splitlines()) if fields[0] == name), [])
