"""What build checks say, and which of them a Dockerfile wants to hear. Pure.

Source: Docker's documentation, "Build checks" and "check" among the parser directives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    """What `# check=` asks for: rules to skip, `all` among them, and whether what is found is an error."""

    skipped: frozenset[str] = frozenset()
    is_error: bool = False

    @classmethod
    def parse(cls, directive: str) -> Rules:
        options = dict(option.strip().split("=", 1) for option in directive.split(";") if option.strip())
        skipped = frozenset(rule.strip() for rule in options.get("skip", "").split(","))
        return cls(skipped=skipped, is_error=options.get("error", "").strip().lower() in _TRUE)

    def apply(self, findings: Iterable[Finding], file: str) -> tuple[Finding, ...]:
        """Return those that are not skipped, in the order of the file. Raises InvalidFile when they are errors."""
        if "all" in self.skipped:
            return ()
        kept = (finding for finding in findings if finding.rule not in self.skipped)
        found = tuple(sorted(kept, key=lambda f: (f.line, f.rule)))
        if found and self.is_error:
            rules = ", ".join(dict.fromkeys(finding.rule for finding in found))
            raise InvalidFile(file, found[0].line, f"lint violation found for rules: {rules}. {found[0].message}",
                              remedy="change it, or name the rule after # check=skip=")
        return found


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
