from __future__ import annotations

import pytest

from paas.engines.embedded.accounts import Account, account_for
from paas.errors import InvalidInput

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken line\nweb:x:33:34:web:/srv:/bin/false\n"
GROUP = "root:x:0:\nweb:x:34:\nextra:x:50:root,web\nmore:x:51:web\n"


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("", Account(uid=0, gid=0, groups=(50,), home="/root")),
        ("web", Account(uid=33, gid=34, groups=(50, 51), home="/srv")),
        ("33", Account(uid=33, gid=34, groups=(50, 51), home="/srv")),
        ("web:extra", Account(uid=33, gid=50, home="/srv")),
        ("1234", Account(uid=1234, gid=0)),
        ("1234:99", Account(uid=1234, gid=99)),
    ],
)
def test_a_user_is_what_the_image_says(user: str, account: Account) -> None:
    assert account_for(user, PASSWD, GROUP) == account


def test_more_groups_come_on_top_by_name_or_number() -> None:
    found = account_for("web:extra", PASSWD, GROUP, more_groups=("more", "1500", "extra"))
    assert found == Account(uid=33, gid=50, groups=(51, 1500), home="/srv")
    for wrong in ("nogroup", "70000"):
        with pytest.raises(InvalidInput):
            account_for("web", PASSWD, GROUP, more_groups=(wrong,))


def test_an_image_without_passwd_has_root() -> None:
    assert account_for("", "", "") == Account(uid=0, gid=0)


@pytest.mark.parametrize("user", ["nobody", "web:nogroup", "65536", "0:70000"])
def test_an_unknown_name_or_an_id_out_of_range_is_refused(user: str) -> None:
    with pytest.raises(InvalidInput):
        account_for(user, PASSWD, GROUP)
