"""Reference: what an image is called, `[domain/]path[:tag][@digest]`. Pure.

As everywhere in the field, `debian` means `docker.io/library/debian:latest`: the canonical form names a tag in the store
and a place in a registry, the familiar form is what people read and type.

Source: the grammar of github.com/distribution/reference (reference.go) and its rules for familiar names (normalize.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.errors import InvalidInput
from paas.oci.digest import Digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME_LENGTH = 255
_OFFICIAL = "library/"
_LEGACY_DOMAIN = "index.docker.io"

_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_PART}(?:\.{_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reference:
    """A checked reference; `tag` is '' only when there is a digest."""

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as people write it. Raises InvalidInput saying which rule it breaks."""
        name, at, digest = text.partition("@")
        name, tag = _split_tag(name)
        domain, path = _split_domain(name)
        if not name or _IMAGE_ID.match(name):
            raise _invalid(text, "an image id is no name" if name else "the name is missing")
        if not _DOMAIN.match(domain):
            raise _invalid(text, f"'{domain}' is not a registry's host name")
        if path.lower() != path:
            raise _invalid(text, "the name must be in lower case")
        if not _PATH.match(path):
            raise _invalid(text, f"'{path}' is not a name")
        if len(f"{domain}/{path}") > MAX_NAME_LENGTH:
            raise _invalid(text, f"the name is longer than {MAX_NAME_LENGTH} characters")
        if tag is not None and not _TAG.match(tag):
            raise _invalid(text, f"'{tag}' is not a tag")
        return cls(
            domain=domain,
            path=path,
            tag=tag or ("" if at else DEFAULT_TAG),
            digest=Digest.parse(digest) if at else None,
        )

    @property
    def name(self) -> str:
        """Return `domain/path`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Return the name without what is the default."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """Return the reference as people write it; it parses to the same reference."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix


def _split_tag(name: str) -> tuple[str, str | None]:
    """Cut off the tag: what follows the last colon, unless a slash comes later (then it is the domain's port)."""
    head, colon, tail = name.rpartition(":")
    if not colon or "/" in tail:
        return name, None
    return head, tail


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = any(c in first for c in ".:") or first == "localhost" or first.lower() != first
    if not slash or not is_domain:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = (DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first), rest
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def _invalid(text: str, rule: str) -> InvalidInput:
    remedy = "e.g. shop:v2 or registry.example.com/team/shop"
    return InvalidInput(f"'{text}' is not a valid image reference: {rule}", remedy=remedy)
