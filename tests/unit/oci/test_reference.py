from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.oci.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

#: As people write it -> canonical form, familiar form. From the tests of distribution/reference and Docker's rules.
KNOWN = {
    "debian": ("docker.io/library/debian:latest", "debian:latest"),
    "debian:12": ("docker.io/library/debian:12", "debian:12"),
    "docker.io/debian:12": ("docker.io/library/debian:12", "debian:12"),
    "index.docker.io/library/debian:12": ("docker.io/library/debian:12", "debian:12"),
    "paas/stack:debian-12": ("docker.io/paas/stack:debian-12", "paas/stack:debian-12"),
    "localhost/shop": ("localhost/shop:latest", "localhost/shop:latest"),
    "localhost:5000/shop:v1": ("localhost:5000/shop:v1", "localhost:5000/shop:v1"),
    "registry.example.com/team/shop": ("registry.example.com/team/shop:latest", "registry.example.com/team/shop:latest"),
    "[2001:db8::1]:5000/shop": ("[2001:db8::1]:5000/shop:latest", "[2001:db8::1]:5000/shop:latest"),
    f"debian@{DIGEST}": (f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
    f"debian:12@{DIGEST}": (f"docker.io/library/debian:12@{DIGEST}", f"debian:12@{DIGEST}"),
    "a.b/c": ("a.b/c:latest", "a.b/c:latest"),
    "sub-dom1.foo.com/bar/baz/quux:some-long-tag": ("sub-dom1.foo.com/bar/baz/quux:some-long-tag",) * 2,
    "blog.foo.com/foo__bar--baz.x": ("blog.foo.com/foo__bar--baz.x:latest",) * 2,
}


@pytest.mark.parametrize("text", KNOWN)
def test_reference_has_a_canonical_and_a_familiar_form(text: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == KNOWN[text]


@pytest.mark.parametrize(
    "text",
    [
        "", ":tag", "@" + DIGEST, "UPPER", "team/Upper:1", "a//b", "/a", "a/", "a:", "a:-tag", "a:" + "x" * 129, "a b", "a..b",
        "-a", "a-", "_a", "a___b", "../a", "debian@sha256:12", "a" * 256, "0123456789abcdef" * 4, "ex_ample.com/a", "a:b:c/d",
        "bücher", "a\n", "a:b\n",
    ],
)  # fmt: skip
def test_malformed_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Reference.parse(text)


_component = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_domain = st.from_regex(r"([a-z0-9]{1,6}\.[a-z]{2,4}|localhost)(:[0-9]{1,5})?", fullmatch=True)
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(
    domain=st.none() | _domain,
    path=st.lists(_component, min_size=1, max_size=3),
    tag=st.none() | _tag,
    digest=st.none() | st.just(DIGEST),
)
def test_both_forms_parse_to_the_same_reference(domain: str | None, path: list[str], tag: str | None, digest: str | None) -> None:
    assume(domain or len(path) == 1 or "." not in path[0])  # such a first part would be a domain
    text = "/".join([*([domain] if domain else []), *path]) + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidInput:
        return
    assert Reference.parse(reference.familiar) == reference
    assert "\0" not in str(reference) and ".." not in reference.path.split("/")
