"""Config vars as text: for shells, as dotenv and JSON, as arguments of `docker run`. What is printed is read back byte for byte.

Errors name a line, never what stands there: it may be a secret that was quoted wrongly.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from paas.errors import InvalidInput
from paas.model.env import KEY, Secret

Values = Mapping[str, str]

#: What stands in a dotenv file without quotes, and is the same to every reader of one.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]*\Z")
_ENTRY = re.compile(r"(?:export[ \t]+)?(?P<key>[^\s=]+)[ \t]*=[ \t]*")
_ESCAPES = {"\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\", "$": "\\$"}
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def render(values: Values, style: str) -> str:
    """Write config vars in one of FORMATS, or for reading alone (ONE_WAY). Without a newline at the end."""
    return _PRINTERS[style](values)


def parse(text: str, style: str) -> dict[str, str]:
    """Read config vars in one of FORMATS; of several with a name the last counts. Raises InvalidInput."""
    found: dict[str, str] = {}
    for where, key, value in _PARSERS[style](text):
        if not KEY.match(key):
            raise InvalidInput(f"{where}: the name is not valid", remedy="use letters, digits and '_', no digit in front")
        if "\0" in value:
            raise InvalidInput(f"{where}: the value of {key} holds a NUL byte, which no environment can")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidInput(f"{where}: the value of {key} is no Unicode text")
        found[key] = Secret(value)
    return found


def encoded(values: Values) -> dict[str, str]:
    """Return the values in base64."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def decoded(values: Values) -> dict[str, str]:
    """Return the values out of base64. Raises InvalidInput."""
    return {key: Secret(_decoded(key, value)) for key, value in values.items()}


def _decoded(key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(f"The value of {key} is not base64 of UTF-8 text", remedy="or leave out --encoded") from exc


# -- writing


def _dotenv(values: Values) -> str:
    return "\n".join(f"{key}={_dotenv_value(str(value))}" for key, value in values.items())


def _dotenv_value(value: str) -> str:
    if _PLAIN.match(value):
        return value
    if not any(letter in value for letter in "'\\\n\r"):
        return f"'{value}'"
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in value) + '"'


def _shell(values: Values) -> Iterator[str]:
    return (f"{key}={shlex.quote(str(value))}" for key, value in values.items())


def _pretty(values: Values) -> str:
    width = max(map(len, values), default=0) + 1
    return "\n".join(f"{key + ':':<{width}}  {value}" for key, value in values.items())


_PRINTERS: Mapping[str, Callable[[Values], str]] = {
    "exports": lambda values: "\n".join(f"export {word}" for word in _shell(values)),
    "shell": lambda values: " ".join(_shell(values)),
    "dotenv": _dotenv,
    "envfile": _dotenv,
    "json": lambda values: json.dumps({key: str(value) for key, value in values.items()}, indent=2),
    "json-list": lambda values: json.dumps([{"name": key, "value": str(value)} for key, value in values.items()], indent=2),
    "docker-args": lambda values: " ".join(f"--env={word}" for word in _shell(values)),
    "pretty": _pretty,
    "docker-args-keys": lambda values: " ".join(f"--env={key}" for key in values),
}

# -- reading: each yields where it stands, the key and the value

_Entries = Iterator[tuple[str, str, str]]


def _parse_dotenv(text: str) -> _Entries:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = _end_of_line(text, at)
        if text[at] == "#":
            at = end
            continue
        where = _line(text, at)
        entry = _ENTRY.match(text, at, end)
        if entry is None:
            raise InvalidInput(f"{where} is no KEY=value", remedy="put a value of several lines in quotes")
        value, at = _dotenv_value_at(text, entry.end(), where)
        yield where, entry["key"], value


def _dotenv_value_at(text: str, at: int, where: str) -> tuple[str, int]:
    """Return the value that begins there, and where the rest does."""
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        end = _end_of_line(text, at)
        return re.split(r"(?:\A|[ \t])#", text[at:end], maxsplit=1)[0].strip(" \t\r"), end
    value, at = _quoted(text, at, where, escape=_dotenv_escape)
    end = _end_of_line(text, at)
    behind = text[at:end].strip(" \t\r")
    if behind and not behind.startswith("#"):
        raise InvalidInput(f"{where}: there is something behind the closing quote", remedy="put the whole value in one pair")
    return value, end


def _dotenv_escape(letter: str) -> str:
    return _UNESCAPED.get(letter, letter)


def _parse_shell(text: str) -> _Entries:
    exported = ""
    for where, word, quoted_at in _shell_words(text):
        if word == "export":
            exported = where
            continue
        key, equals, value = word.partition("=")
        is_command = quoted_at <= len(key) and where != exported  # how a shell takes a name with quotes in it
        if not equals or is_command:
            raise InvalidInput(f"{where} is no KEY=value", remedy="put a value with spaces in quotes")
        yield where, key, value


def _shell_words(text: str) -> Iterator[tuple[str, str, int]]:
    """Split as a POSIX shell does; nothing is expanded. Also yields behind how many letters of a word the first quote stands."""
    at = 0
    while at < len(text):
        if text[at].isspace() or text[at] == ";":
            at += 1
            continue
        if text[at] == "#":
            at = _end_of_line(text, at)
            continue
        where, word, quoted_at = _line(text, at), "", len(text) + 1
        while at < len(text) and not text[at].isspace() and text[at] != ";":
            if text[at] in "'\"\\":
                quoted_at = min(quoted_at, len(word))
            if text[at] in "'\"":
                part, at = _quoted(text, at, where, escape=_shell_escape)
            elif text[at] == "\\":
                part, at = text[at + 1 : at + 2].replace("\n", ""), at + 2
            else:
                part, at = text[at], at + 1
            word += part
        yield where, word, quoted_at


def _shell_escape(letter: str) -> str:
    if letter == "\n":
        return ""
    return letter if letter in '$`"\\' else f"\\{letter}"


def _quoted(text: str, at: int, where: str, *, escape: Callable[[str], str]) -> tuple[str, int]:
    """Return what the quote there encloses, and where the rest begins."""
    quote, at, value = text[at], at + 1, []
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and at + 1 < len(text):
            value.append(escape(text[at + 1]))
            at += 2
        else:
            value.append(text[at])
            at += 1
    if at >= len(text):
        raise InvalidInput(f"{where}: the quote is never closed", remedy=f"add the closing {quote}")
    return "".join(value), at + 1


def _parse_docker_args(text: str) -> _Entries:
    is_next = False
    for where, word, _ in _shell_words(text):
        if word in ("-e", "--env"):
            is_next = True
            continue
        given = word if is_next else word.removeprefix("--env=")
        key, equals, value = given.partition("=")
        if not equals or (given is word and not is_next):
            raise InvalidInput(f"{where} is no --env=KEY=value", remedy="write e.g. --env=KEY='value'")
        is_next = False
        yield where, key, value


def _parse_json(text: str) -> _Entries:
    said = _read_json(text)
    if not isinstance(said, dict):
        raise InvalidInput("This is no JSON object", remedy='write e.g. {"KEY": "value"}')
    for key, value in said.items():
        yield "The JSON object", key, _json_text(key, value)


def _parse_json_list(text: str) -> _Entries:
    said = _read_json(text)
    if not isinstance(said, list) or not all(isinstance(one, dict) and {"name", "value"} <= one.keys() for one in said):
        raise InvalidInput("This is no JSON list of names and values", remedy='write e.g. [{"name": "KEY", "value": "value"}]')
    for one in said:
        yield "The JSON list", str(one["name"]), _json_text(str(one["name"]), one["value"])


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise InvalidInput(f"Line {exc.lineno} is no JSON: {exc.msg}", remedy="see what is there before that place") from None
    except (RecursionError, ValueError):
        raise InvalidInput("This is no JSON that can be read", remedy='write e.g. {"KEY": "value"}') from None


def _json_text(key: str, value: object) -> str:
    """Return what an environment holds: text as it is, numbers and booleans as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return json.dumps(value)
    named = key if KEY.match(key) else "a name"
    raise InvalidInput(f"The value of {named} is no string", remedy="put it in quotes")


_PARSERS: Mapping[str, Callable[[str], _Entries]] = {
    "exports": _parse_shell,
    "shell": _parse_shell,
    "dotenv": _parse_dotenv,
    "envfile": _parse_dotenv,
    "json": _parse_json,
    "json-list": _parse_json_list,
    "docker-args": _parse_docker_args,
}
#: What can be written and read.
FORMATS = tuple(_PARSERS)
#: What can only be written.
ONE_WAY = tuple(style for style in _PRINTERS if style not in _PARSERS)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _line(text: str, at: int) -> str:
    return f"Line {text.count(chr(10), 0, at) + 1}"
