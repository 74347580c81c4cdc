"""An SSH gateway with an executor behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import Served, Sshd, executor, gateway, open_directory

HOOK = """#!/bin/sh
# Says who pushes, reads the pushed objects where they are in quarantine, refuses branches called refuse.
while read -r old new ref; do
    echo "-----> $PAAS_IDENTITY pushes $ref"
    git cat-file -e "$new^{tree}" || exit 3
    [ "$ref" != refs/heads/slow ] || { sleep 1; echo done > "$BASE/done/slow"; }
    [ "$ref" != refs/heads/refuse ] || exit 1
done
"""


@pytest.fixture
def served() -> Iterator[Served]:
    """A running executor with commands of the tests, and a hook for pushes."""
    with open_directory() as base:
        (base / "hooks").mkdir()
        (base / "hooks" / "pre-receive").write_text(HOOK)
        (base / "hooks" / "pre-receive").chmod(0o755)
        (base / "done").mkdir()
        (base / "done").chmod(0o777)
        with executor(base) as running:
            yield running


@pytest.fixture
def sshd(served: Served) -> Iterator[Sshd]:
    """A running gateway."""
    with gateway(served.run_dir) as running:
        yield running
