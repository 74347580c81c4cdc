"""The words of a command line -> command, arguments, and the options that hold for every command. Pure.

    paas [--quiet] [--trace] [--force] [--app APP] TOPIC:VERB [APP] [arguments]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paas.errors import UsageError

#: Topics whose commands know no app: `-a` behind the name is always an option of theirs, as in `container:cp -a`.
_WITHOUT_APP = ("container:",)
_ALIASES = {"--help": "help", "-h": "help", "--version": "version", "-v": "version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A command line, read. `argv` begins with the command's name."""

    argv: tuple[str, ...]
    is_quiet: bool = False
    is_traced: bool = False


def parse_words(argv: Sequence[str]) -> Words:
    """Take the options in front of the command out; `--app` stands for the command's first argument. Raises UsageError."""
    for word in argv:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise UsageError("The command line is not valid UTF-8", remedy="type it in UTF-8")
    words = iter(argv)
    quiet = trace = False
    app: list[str] = []
    inserted: list[str] = []
    for word in words:
        match word:
            case "--quiet" | "-q":
                quiet = True
            case "--trace":
                trace = True
            case "--force":
                inserted.append("--force")
            case "--app" | "-a":
                app = [_value(words)]
            case _ if word.startswith("--app="):
                app = [word.partition("=")[2]]
            case _:
                name = _ALIASES.get(word, word)
                rest = tuple(words)
                named, rest = ([], rest) if name.startswith(_WITHOUT_APP) else _leading_app(rest)
                return Words(argv=(name, *inserted, *(named or app), *rest), is_quiet=quiet, is_traced=trace)
    return Words(argv=("help",), is_quiet=quiet, is_traced=trace)


def _leading_app(rest: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """Take `--app APP` right behind the command's name; further back it could be an argument of the app's own command.

    Without a name behind it, `-a` is an option of the command: `container:ps -a`.
    """
    if rest[:1] == ("--app",) or (rest[:1] == ("-a",) and rest[1:] and not rest[1].startswith("-")):
        following = iter(rest[1:])
        return [_value(following)], tuple(following)
    if rest and rest[0].startswith("--app="):
        return [rest[0].partition("=")[2]], rest[1:]
    return [], rest


def _value(words: Iterator[str]) -> str:
    try:
        return next(words)
    except StopIteration:
        raise UsageError("--app needs the name of an app", remedy="e.g. paas --app shop ps:scale web=2") from None
