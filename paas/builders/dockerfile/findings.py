"""What build checks say, and which of them a Dockerfile wants to hear. Pure.

Source: Docker's documentation, "Build checks" and "check" among the parser directives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from paas.errors import InvalidFile

_TRUE = ("true", "1", "t")
#: A name that differs by so much is meant to be another.
_TOO_FAR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has to say."""

    rule: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message} (line {self.line})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What `# check=` asks for: rules to skip, `all` among them, and whether what is found is an error.

    `local` are the rules that a comment right above an instruction skips, by its line.
    """

    skipped: frozenset[str] = frozenset()
    is_error: bool = False
    local: Mapping[int, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, directive: str, local: Mapping[int, str] | None = None) -> Rules:
        """Read the directive at the top of a file and those above single instructions."""
        return cls(
            skipped=_skipped(directive), is_error=_options(directive).get("error", "").strip().lower() in _TRUE,
            local={line: _skipped(text) for line, text in (local or {}).items()},
        )  # fmt: skip

    def keep(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return those that are not skipped, in the order of the file."""
        kept = (f for f in findings if not {"all", f.rule} & (self.skipped | self.local.get(f.line, frozenset())))
        return tuple(sorted(kept, key=lambda f: (f.line, f.rule)))

    def enforce(self, found: Sequence[Finding], file: str) -> None:
        """Raise InvalidFile when what was found is an error: at the first, with the names of all."""
        if found and self.is_error:
            first = min(found, key=lambda f: f.line)
            rules = ", ".join(sorted({finding.rule for finding in found}))
            raise InvalidFile(file, first.line, f"lint violation found for rules: {rules}. {first.message}",
                              remedy="change it, or name the rule after # check=skip=")


def _options(directive: str) -> dict[str, str]:
    pairs = (option.partition("=") for option in directive.split(";"))
    return {name.strip(): value for name, _, value in pairs}


def _skipped(directive: str) -> frozenset[str]:
    return frozenset(rule.strip() for rule in _options(directive).get("skip", "").split(","))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the first of the known names that is nearest to one that is not among them, '' when none is near."""
    best, least = "", _TOO_FAR
    for other in known:
        if (distance := _distance(name, other)) < least:
            best, least = other, distance
    return best


def _distance(one: str, other: str) -> int:
    """Return how many characters must be put in, taken out or replaced (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
