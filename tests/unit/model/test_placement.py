"""Where `container:cp` puts what it copies."""

from __future__ import annotations

import pytest

from paas.errors import InvalidInput
from paas.model.placement import FileKind, Found, Placement, place, split_place

FILE = Found(given="docs/a.txt", path="/src/docs/a.txt", kind=FileKind.OTHER)
TREE = Found(given="docs", path="/src/docs", kind=FileKind.DIRECTORY)
SLASH = Found(given="docs/", path="/src/docs", kind=FileKind.DIRECTORY)
CONTENT = Found(given="docs/.", path="/src/docs", kind=FileKind.DIRECTORY)
ROOT = Found(given="/", path="/", kind=FileKind.DIRECTORY)
LINK = Found(given="current", path="/src/v7", kind=FileKind.DIRECTORY)
HERE = Found(given=".", path="/src", kind=FileKind.DIRECTORY)
PARENT = Found(given="..", path="/src", kind=FileKind.DIRECTORY)


def target(kind: FileKind, given: str = "/srv/x") -> Found:
    return Found(given=given, path="/srv/x", kind=kind)


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (FILE, target(FileKind.MISSING), ("/srv", "x")),
        (FILE, target(FileKind.OTHER), ("/srv", "x")),
        (FILE, target(FileKind.DIRECTORY), ("/srv/x", "a.txt")),
        (FILE, target(FileKind.DIRECTORY, "/srv/x/"), ("/srv/x", "a.txt")),
        (FILE, Found(given="x", path="/x", kind=FileKind.MISSING), ("/", "x")),
        (TREE, target(FileKind.MISSING), ("/srv", "x")),
        (TREE, target(FileKind.MISSING, "/srv/x/"), ("/srv", "x")),
        (CONTENT, target(FileKind.MISSING), ("/srv", "x")),
        (TREE, target(FileKind.DIRECTORY), ("/srv/x", "docs")),
        (SLASH, target(FileKind.DIRECTORY), ("/srv/x", "docs")),
        (CONTENT, target(FileKind.DIRECTORY), ("/srv/x", "")),
        (ROOT, target(FileKind.DIRECTORY), ("/srv/x", "")),
        (HERE, target(FileKind.DIRECTORY), ("/srv/x", "")),
        (PARENT, target(FileKind.DIRECTORY), ("/srv/x", "src")),
        (LINK, target(FileKind.DIRECTORY), ("/srv/x", "current")),
    ],
)
def test_a_source_goes_where_docker_puts_it(source: Found, destination: Found, expected: tuple[str, str]) -> None:
    assert place(source, destination) == Placement(directory=expected[0], name=expected[1])


@pytest.mark.parametrize(
    ("source", "destination", "problem"),
    [
        (target(FileKind.MISSING), target(FileKind.DIRECTORY), "There is no '/srv/x'"),
        (target(FileKind.OTHER, "/srv/x/"), target(FileKind.DIRECTORY), "is no directory"),
        (target(FileKind.OTHER, "/srv/x/."), target(FileKind.DIRECTORY), "is no directory"),
        (TREE, target(FileKind.OTHER), "'docs' is a directory and '/srv/x' is none"),
        (FILE, target(FileKind.MISSING, "/srv/x/"), "There is no directory '/srv/x/'"),
        (FILE, target(FileKind.OTHER, "/srv/x/"), "There is no directory '/srv/x/'"),
    ],
)
def test_what_does_not_fit_is_refused(source: Found, destination: Found, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        place(source, destination)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web:/etc/hosts", ("web", "/etc/hosts")), ("web:etc", ("web", "etc")), ("web:", ("web", "/")), ("a:b:c", ("a", "b:c")),
        ("/tmp/a:b", ("", "/tmp/a:b")), ("./a:b", ("", "./a:b")), ("plain", ("", "plain")), ("-", ("", "-")),
    ],
)  # fmt: skip
def test_a_container_is_told_from_a_path(text: str, expected: tuple[str, str]) -> None:
    assert split_place(text) == expected
