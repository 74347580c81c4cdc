from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.oci.digest import Digest
from paas.oci.layer import is_portable_xattr, parse_member_name, whiteout_target
from paas.oci.layout import chain_ids


@given(st.text(st.sampled_from("a./\0"), max_size=12))
def test_no_member_name_leads_out_of_the_root(name: str) -> None:
    try:
        parts = parse_member_name(name)
    except InvalidInput:
        assert ".." in name.split("/") or "\0" in name
        return
    assert not {"", ".", ".."} & set(parts)
    assert "/".join(parts) == "/".join(part for part in name.split("/") if part not in ("", "."))


@pytest.mark.parametrize(
    ("basename", "target"),
    [("file", None), (".wh", None), (".wh.file", "file"), (".wh..hidden", ".hidden"), (".wh..wh..opq", ""), (".wh..wh.plnk", "")],
)
def test_whiteouts_are_told_from_files(basename: str, target: str | None) -> None:
    assert whiteout_target(basename) == target


@pytest.mark.parametrize("basename", [".wh.", ".wh..", ".wh..."])
def test_whiteout_of_nothing_is_refused(basename: str) -> None:
    with pytest.raises(InvalidInput):
        whiteout_target(basename)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("security.capability", True), ("user.note", True), ("user.overlay.opaque", False), ("trusted.overlay.redirect", False),
        ("trusted.overlay.opaque", False), ("security.selinux", False), ("system.posix_acl_access", False),
    ],
)  # fmt: skip
def test_only_capabilities_and_user_attributes_travel(name: str, expected: bool) -> None:
    assert is_portable_xattr(name) is expected


def test_chain_id_of_a_layer_names_all_below_it() -> None:
    first, second = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
    assert list(chain_ids([first, second])) == [first, Digest.of_bytes(f"{first} {second}".encode())]
    assert list(chain_ids([])) == []
