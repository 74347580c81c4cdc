"""Build checks: which lines they name, and what the directive makes of them."""

from __future__ import annotations

import pytest

from paas.builders.dockerfile.checks import check_dockerfile
from paas.builders.dockerfile.expand import Scope
from paas.builders.dockerfile.findings import Finding, Rules
from paas.builders.dockerfile.ignore import parse_ignore
from paas.builders.dockerfile.instructions import Copy
from paas.builders.dockerfile.parser import parse_dockerfile
from paas.builders.dockerfile.plan import plan_build
from paas.builders.dockerfile.scopechecks import ignored_sources, undefined_variables
from paas.builders.dockerfile.stage import resolve
from paas.errors import InvalidFile

ALL = """\
ARG BASE=debian
FROM $BASE AS Build
WORKDIR app
WORKDIR deeper
ENV API_TOKEN=x PUBLIC_KEY=y
ENV legacy form
CMD echo one
CMD ["echo", "two"]
FROM build as scratch
SHELL ["/bin/bash", "-c"]
ENTRYPOINT exec server
COPY --from=0 a .
FROM scratch AS build
COPY --from=1 a .
MAINTAINER somebody
"""


def check(text: str) -> tuple[Finding, ...]:
    dockerfile = parse_dockerfile(text)
    plan = plan_build(dockerfile, build_args={"TAG": "1"})
    return check_dockerfile(dockerfile, [plan.stages[index] for index in plan.needed])


def findings(text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in check(text)]


def test_each_check_names_its_lines() -> None:
    assert findings(ALL) == [
        (2, "StageNameCasing"), (3, "WorkdirRelativePath"), (5, "SecretsUsedInArgOrEnv"), (6, "LegacyKeyValueFormat"),
        (7, "JSONArgsRecommended"), (7, "MultipleInstructionsDisallowed"), (9, "FromAsCasing"), (9, "ReservedStageName"),
        (13, "DuplicateStageName"), (15, "MaintainerDeprecated"),
    ]  # fmt: skip


def test_a_plain_file_gives_no_warning() -> None:
    assert findings('FROM debian AS a\nWORKDIR /app\nENV A=1\nENTRYPOINT ["x"]\nCMD ["y"]\nFROM a AS b\nCMD ["z"]\n') == []
    assert findings('from debian as a\nworkdir /app\nexpose 80/tcp 53/udp $PORT/TCP\ncmd ["y"]\n') == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM debian\nrun a\nRUN b\n", "Command 'run' should match the case of the command majority (uppercase) (line 2)"),
        ("arg A\nfrom debian\nRun a\n", "Command 'Run' should match the case of the command majority (lowercase) (line 3)"),
        ("FROM debian\nRUN a \\\n\n# comment\n  b \\\n  c\nRUN d\n", "Empty continuation line (line 6)"),
        ("FROM debian\nRUN a \\\n# comment\n  b\n", ""), ("FROM debian\nRUN a \\\n", ""),
        ("FROM debian\nEXPOSE 80/TCP 81\n", "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)"),
        ("FROM debian\nEXPOSE 127.0.0.1:80:80\n",
         "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)"),
        ("FROM node:22${VARIANT} AS jsbuilder\n", "FROM argument 'VARIANT' is not declared (line 1)"),
        ("ARG VERSION=1\nFROM node:${VERSIN}x\n", "FROM argument 'VERSIN' is not declared (did you mean VERSION?) (line 2)"),
        ("FROM --platform=$BULDPLATFORM debian\n",
         "FROM argument 'BULDPLATFORM' is not declared (did you mean BUILDPLATFORM?) (line 1)"),
        ("FROM debian\nARG LATE=1\nFROM x$LATE\n", "FROM argument 'LATE' is not declared (line 3)"),
        ("ARG VARIANT\nFROM busybox:stable${VARIANT}\n", ""), ("FROM busybox:${TAG:-3.14}\n", ""),
        ("ARG TAG\nFROM busybox:${TAG}\n",
         "Default value for ARG busybox:${TAG} results in empty or invalid base image name (line 2)"),
        ("ARG TAG=1\nFROM --platform=$BUILDPLATFORM busybox:${TAG} AS a\nFROM a\n", ""),
        ("FROM --platform=${TARGETPLATFORM} debian\n",
         "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior (line 1)"),
        ("FROM --platform=linux/amd64 debian\n", 'FROM --platform flag should not use constant value "linux/amd64" (line 1)'),
        ("FROM --platform=linux/amd64 debian AS build_amd64\n", ""),
    ],
)  # fmt: skip
def test_a_check_has_docker_s_words(text: str, expected: str) -> None:
    found = [str(finding).partition(": ")[2] for finding in check(text)]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COPY $foo .", ["Usage of undefined variable '$foo'"]),
        ("ENV PATH=$PAHT:/app/bin", ["Usage of undefined variable '$PAHT' (did you mean $PATH?)"]),
        ("COPY $DIR_ASSET .", ["Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"]),
        ("ARG VERSION=$foo", ["Usage of undefined variable '$foo'"]),
        ("COPY $a$b$a .", ["Usage of undefined variable '$a'", "Usage of undefined variable '$b'"]),
        ("COPY --chown=$who a .", ["Usage of undefined variable '$who'"]),
        ("WORKDIR ${x#y}", ["Usage of undefined variable '$x'"]),
        ("WORKDIR /$EMPTY", []), ("ENV A=${B:-c} D=${E:+f}", []), ("RUN echo $foo", []), ("CMD echo $foo", []),
        ("ENV A='$foo'", []), ("ARG GIVEN=$foo", []), ("USER $PATH", []), ("LABEL a=\\$foo", []),
    ],
)
def test_variables_that_nothing_defines_are_reported(text: str, expected: list[str]) -> None:
    (instruction,) = parse_dockerfile(f"FROM x\n{text}\n").instructions[1:]
    scope = Scope(env={"PATH": "/bin"}, given={"GIVEN": "1"}).declare("DIR_ASSETS", "assets").declare("EMPTY", None)
    missing: list[str] = []
    resolve(instruction, scope, missing=missing)
    assert [finding.message for finding in undefined_variables(instruction, missing, scope)] == expected


def test_rules_are_skipped_by_name_or_all_together() -> None:
    text = "FROM debian\nCMD echo\nMAINTAINER x\n"
    assert findings("# check=skip=JSONArgsRecommended\n" + text) == [(4, "MaintainerDeprecated")]
    assert findings("# check=skip=all;error=true\n" + text) == []


def test_a_comment_above_an_instruction_skips_rules_for_it_alone() -> None:
    assert findings("FROM debian\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d\n") == [(4, "LegacyKeyValueFormat")]
    assert findings("FROM debian\n# why\n#check=skip=all because\n# and so on\n\nENV a b\n") == []
    assert findings("FROM debian\n# check=skip=all\n#\nENV a b\n") == [(4, "LegacyKeyValueFormat")]


def test_stages_that_are_not_built_are_not_looked_into() -> None:
    assert findings("ARG TOKEN\nFROM debian\nENV a b\nEXPOSE 80/TCP\nWORKDIR x\nFROM debian\n") == []


def test_names_that_only_tell_of_a_secret_are_none() -> None:
    assert findings("FROM debian\nENV KEY_FILE=a TOKEN_VERSION=b PUBLIC_KEY=c KEYS=d\n") == []


@pytest.mark.parametrize(
    ("ignored", "text", "expected"),
    [
        (["out"], "COPY a out/b ./out .", ['Copy file "out/b"', 'Copy file "out"']), (["out"], "ADD out .", ['Add file "out"']),
        (["out", "!out/b"], "COPY out .", []), (["out"], "COPY --from=x out .", []), (["out"], "COPY . .", []),
        (["**"], "COPY . .", ['Copy file "."']),
    ],
)  # fmt: skip
def test_sources_that_are_ignored_are_reported(ignored: list[str], text: str, expected: list[str]) -> None:
    _, copy = parse_dockerfile(f"FROM x\n{text}\n").instructions
    assert isinstance(copy, Copy)
    found = [finding.message for finding in ignored_sources(copy, copy, parse_ignore(ignored))]
    assert found == [f"Attempting to {what} that is excluded by .dockerignore" for what in expected]


def test_a_warning_becomes_an_error_when_the_file_says_so() -> None:
    text = "FROM debian\nCMD echo\nENV a b\n"
    with pytest.raises(InvalidFile, match="Dockerfile:2: lint violation found for rules: JSONArgsRecommended, LegacyKeyV"):
        Rules.parse("error=true").enforce(check(text), "Dockerfile")
    Rules.parse("error=false").enforce(check(text), "Dockerfile")
    Rules.parse("error=true").enforce((), "Dockerfile")
