"""Dockerfile text -> logical lines: directives, comments, continuations, heredocs and flags. Knows no instruction's meaning.

Source: Dockerfile reference ("Parser directives", "Here-documents"); BuildKit's frontend/dockerfile/parser for the corners.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from paas.errors import InvalidFile

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*\Z")
_DIRECTIVES = ("escape", "syntax", "check")
_OPTION = r"\s*(?:(?:skip|experimental)=[\w, ]+|error=(?:true|false|1|0|t|f))\s*"
_CHECK = re.compile(rf"{_OPTION}(?:;{_OPTION})*\Z", re.IGNORECASE)
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]+)\Z")
_QUOTED = re.compile(r"""(['"])(.*)\1\Z""")
#: Only these may be followed by here-documents.
_WITH_HEREDOC = ("ADD", "COPY", "RUN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """One here-document. `content` ends with a newline unless empty; `word` is how it was opened (`<<-EOF`)."""

    name: str
    content: str
    word: str
    expands: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInstruction:
    """One logical line: keyword in capitals, flags (`--name[=value]`), what follows, where it stands."""

    keyword: str
    flags: tuple[str, ...]
    rest: str
    line: int
    text: str
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileText:
    """A Dockerfile in logical lines. `escape` is the escape character in force, `check` what the directive says.

    `gaps` are the last lines of those instructions that have a blank line among those that continue them, `local_checks`
    what a `# check=` right above an instruction says, by its line.
    """

    file: str
    escape: str
    instructions: tuple[RawInstruction, ...]
    check: str = ""
    gaps: tuple[int, ...] = ()
    local_checks: tuple[tuple[int, str], ...] = ()


def split_lines(text: str, *, file: str = "Dockerfile") -> DockerfileText:
    """Split a Dockerfile into logical lines. Raises InvalidFile."""
    physical = text.removeprefix("\ufeff").split("\n")
    directives = _read_directives(physical, file)
    escape = directives.get("escape", "\\")
    reader = _Reader(physical, escape, file)
    found = []
    while (raw := reader.next_instruction()) is not None:
        found.append(raw)
    return DockerfileText(file=file, escape=escape, instructions=tuple(found), check=directives.get("check", ""),
                          gaps=tuple(reader.gaps), local_checks=tuple(reader.local_checks))


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Split `--a=b --c rest` into its flags, quotes and escapes resolved, and the rest."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        end = _word_end(text, position, escape)
        word = text[position:end]
        if word == "--":
            return tuple(flags), text[end:].lstrip()
        flags.append(_unquote(word, escape))
        position = end


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """Split at white space outside quotes; quotes and escapes stay as written."""
    words = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        end = _word_end(text, position, escape)
        words.append(text[position:end])
        position = end
    return tuple(words)


def find_heredocs(text: str, escape: str) -> tuple[Heredoc, ...]:
    """Return the here-documents that a line opens, still without content."""
    found = []
    for word in split_words(text, escape):
        match = _HEREDOC.match(word)
        if match is None:
            continue
        quoted = _QUOTED.match(match[3])
        name = quoted[2] if quoted else match[3]
        if not name or any(quote in name for quote in "'\""):
            continue
        found.append(Heredoc(name=name, content="", word=word, expands=quoted is None))
    return tuple(found)


def _read_directives(physical: Sequence[str], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(physical, start=1):
        match = _DIRECTIVE.match(line.rstrip())
        if match is None:
            break
        name = match[1].lower()
        if name not in _DIRECTIVES:
            continue
        if name in found:
            raise InvalidFile(file, number, f"only one {name} parser directive can be used", text=line)
        if name == "escape" and match[2] not in ("\\", "`"):
            raise InvalidFile(file, number, f"invalid escape token '{match[2]}'", text=line, remedy="use \\ or `")
        if name == "check" and not _CHECK.match(match[2]):
            raise InvalidFile(file, number, f"invalid check option '{match[2]}'", text=line,
                              remedy="use skip=RULE,... or skip=all, and error=true, apart by ;")
        found[name] = match[2]
    return found


class _Reader:
    """Walks the physical lines once."""

    def __init__(self, physical: Sequence[str], escape: str, file: str) -> None:
        self._lines, self._escape, self._file = physical, escape, file
        self._at = 0
        self.gaps: list[int] = []
        self.local_checks: list[tuple[int, str]] = []
        token = re.escape(escape)
        self._continuation = re.compile(rf"(?:(?<=[^{token}])|^){token}[ \t]*\Z")

    def next_instruction(self) -> RawInstruction | None:
        """Return the next logical line, or None at the end."""
        check = ""
        while self._at < len(self._lines):
            start = self._at + 1
            line = self._lines[self._at].strip()
            self._at += 1
            if not line or line.startswith("#"):
                check = _local_check(line, check)
                continue
            logical, is_open = self._without_continuation(self._lines[start - 1].lstrip().removesuffix("\r"))
            logical = self._join(logical) if is_open else logical
            if logical.strip():
                self.local_checks += [(start, check)] if check else []
                return self._instruction(logical.strip(), start)
        return None

    def _join(self, logical: str) -> str:
        """Append the lines that continue it; comments and blank lines in between do not count."""
        has_gap = False
        while self._at < len(self._lines):
            line = self._lines[self._at].removesuffix("\r")
            self._at += 1
            if line.lstrip().startswith("#") or not line.strip():
                # the last of the lines is what follows the end of the file
                has_gap = has_gap or (not line.strip() and self._at < len(self._lines))
                continue
            part, is_open = self._without_continuation(line)
            logical += part
            if not is_open:
                break
        self.gaps += [self._at] if has_gap else []
        return logical

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        shortened = self._continuation.sub("", line)
        return shortened, shortened != line

    def _instruction(self, logical: str, start: int) -> RawInstruction:
        keyword, rest = (*logical.split(maxsplit=1), "")[:2]
        keyword = keyword.upper()
        flags, rest = split_flags(rest, self._escape) if rest.startswith("--") else ((), rest)
        heredocs: tuple[Heredoc, ...] = ()
        if keyword in _WITH_HEREDOC or (keyword == "ONBUILD" and rest.upper().startswith(_WITH_HEREDOC)):
            heredocs = tuple(self._read_heredoc(opened, start) for opened in find_heredocs(rest, self._escape))
        return RawInstruction(
            keyword=keyword, flags=flags, rest=rest, line=start, text=logical, heredocs=heredocs
        )  # fmt: skip

    def _read_heredoc(self, opened: Heredoc, start: int) -> Heredoc:
        drops_tabs = "<<-" in opened.word
        body: list[str] = []
        first = self._at + 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            line = line.lstrip("\t") if drops_tabs else line
            if line.removesuffix("\r") == opened.name:
                content = "".join(part + "\n" for part in body)
                return Heredoc(name=opened.name, content=content, word=opened.word, expands=opened.expands, line=first)
            body.append(line)
        raise InvalidFile(self._file, start, "unterminated heredoc", text=self._lines[start - 1],
                          remedy=f"end it with a line that holds only {opened.name}")


def _local_check(line: str, check: str) -> str:
    """Return what `# check=` says after one more line above an instruction: the first of them counts, `#` alone ends them."""
    if line == "#":
        return ""
    match = _DIRECTIVE.match(line)
    is_check = match is not None and match[1] == "check" and not check
    return match[2].split(" ")[0] if match and is_check else check


def _word_end(text: str, start: int, escape: str) -> int:
    """Return where the word ends that starts here; an unclosed quote reaches to the end."""
    quote = ""
    position = start
    while position < len(text):
        char = text[position]
        if char == escape and quote != "'":
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            break
        position += 1
    return min(position, len(text))


def _unquote(word: str, escape: str) -> str:
    plain: list[str] = []
    quote = ""
    position = 0
    while position < len(word):
        char = word[position]
        if char == escape and quote != "'" and position + 1 < len(word):
            position += 1
            plain.append(word[position])
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            plain.append(char)
        position += 1
    return "".join(plain)
