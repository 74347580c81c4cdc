"""apt sources: read both of apt's formats, choose what serves one release, write deb822. Pure but for `read_sources`.

Source: sources.list(5), "ONE-LINE-STYLE FORMAT", "DEB822-STYLE FORMAT" and "OPTIONS".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

#: Option names of the one-line format that deb822 calls differently.
_FIELDS = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)\Z")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_NO = ("no", "false", "off", "without", "disable", "0")
#: What may follow a release's codename when the suite belongs to the distribution itself.
_POCKETS = ("", "-updates", "-security", "/updates")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One entry of apt's sources for binary packages. `options` are the other deb822 fields, e.g. Signed-By."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def signed_by(self) -> str:
        """Return the Signed-By field: a path, a fingerprint, or a whole key."""
        return next((value for name, value in self.options if name.lower() == "signed-by"), "")

    def without_credentials(self) -> AptSource:
        """Return it without user names and passwords, fit for an image."""
        return replace(self, uris=tuple(_USER_INFO.sub("", uri) for uri in self.uris))

    def render(self) -> str:
        """Return the deb822 stanza."""
        fields = (
            ("Types", "deb"),
            ("URIs", " ".join(self.uris)),
            ("Suites", " ".join(self.suites)),
            ("Components", " ".join(self.components)),
            *self.options,
        )
        return "".join(f"{name}: {value}\n" for name, value in fields if value)


def render_sources(sources: Iterable[AptSource]) -> str:
    """Return a whole `.sources` file."""
    return "\n".join(source.render() for source in sources)


def read_sources(etc_apt: Path) -> tuple[AptSource, ...]:
    """Read /etc/apt/sources.list and sources.list.d as apt does."""
    parts = sorted((etc_apt / "sources.list.d").glob("*")) if (etc_apt / "sources.list.d").is_dir() else []
    found: list[AptSource] = []
    for file in (etc_apt / "sources.list", *parts):
        if file.is_file() and file.suffix in (".list", ".sources"):
            parse = parse_deb822 if file.suffix == ".sources" else parse_one_line
            found += parse(file.read_text(errors="replace"))
    return tuple(found)


def parse_one_line(text: str) -> tuple[AptSource, ...]:
    """Read the one-line format; lines that are no binary source are passed over."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(_one_line_source(match) for match in map(_ONE_LINE.match, lines) if match)


def parse_deb822(text: str) -> tuple[AptSource, ...]:
    """Read the deb822 format; disabled stanzas and those without binary packages are passed over."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stanzas = re.split(r"\n\s*\n", "\n".join(lines))
    found = (_stanza_source(_fields(stanza)) for stanza in stanzas)
    return tuple(source for source in found if source is not None)


def choose_sources(
    sources: Sequence[AptSource], *, distribution: str, codename: str, components: Sequence[str], host_codename: str = ""
) -> tuple[AptSource, ...]:
    """Return the entries that are the distribution's own archive, for `codename` and with these components only.

    Entries for `host_codename` (another release of the same distribution) stand in for it: mirrors carry all releases.
    A third party's repository may use the same suite and component names; it is told by the key it is signed with.
    """
    found = [_narrowed(source, codename, codename, components) for source in sources]
    if not any(found) and host_codename:
        found = [_narrowed(source, host_codename, codename, components) for source in sources]
    own = [source for source in found if source is not None]
    official = [source for source in own if _is_official(source, distribution)]
    return tuple(official or own)


def _one_line_source(match: re.Match[str]) -> AptSource:
    options: dict[str, str] = {}
    for option in (match["options"] or "").split():
        name, _, value = option.partition("=")
        name = name.rstrip("+-").lower()
        options[_FIELDS.get(name, name.title())] = value.replace(",", " ")
    return AptSource(
        uris=(match["uri"],),
        suites=(match["suite"],),
        components=tuple(match["components"].split()),
        options=tuple(options.items()),
    )


def _fields(stanza: str) -> dict[str, str]:
    """Return the fields of one stanza; continuation lines keep their form, as keys written in place need it."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')}\n{line}"
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return {name: value.strip() if name.lower() != "signed-by" else value.rstrip() for name, value in fields.items()}


def _stanza_source(fields: dict[str, str]) -> AptSource | None:
    known = {name.lower(): value for name, value in fields.items()}
    if "deb" not in known.get("types", "").split() or known.get("enabled", "yes").lower() in _NO:
        return None
    main = ("types", "uris", "suites", "components", "enabled")
    return AptSource(
        uris=tuple(known.get("uris", "").split()),
        suites=tuple(known.get("suites", "").split()),
        components=tuple(known.get("components", "").split()),
        options=tuple((name, value) for name, value in fields.items() if name.lower() not in (*main, "x-repolib-name")),
    )


def _narrowed(source: AptSource, old: str, new: str, components: Sequence[str]) -> AptSource | None:
    suites = tuple(new + pocket for pocket in _POCKETS if old + pocket in source.suites)
    kept = tuple(component for component in source.components if component in components)
    uris = tuple(uri for uri in source.uris if not uri.startswith("cdrom:"))
    if not suites or "main" not in kept or not uris:
        return None
    return replace(source, uris=uris, suites=suites, components=kept)


def _is_official(source: AptSource, distribution: str) -> bool:
    key = source.signed_by
    return not key.startswith("/") or distribution in Path(key).name
