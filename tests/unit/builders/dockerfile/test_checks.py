"""Build checks: which lines they name, and what the directive makes of them."""

from __future__ import annotations

import pytest

from paas.builders.dockerfile.checks import check_dockerfile
from paas.builders.dockerfile.parser import parse_dockerfile
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
FROM scratch AS build
MAINTAINER somebody
"""


def findings(text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in check_dockerfile(parse_dockerfile(text))]


def test_each_check_names_its_lines() -> None:
    assert findings(ALL) == [
        (2, "StageNameCasing"), (3, "WorkdirRelativePath"), (5, "SecretsUsedInArgOrEnv"), (6, "LegacyKeyValueFormat"),
        (7, "JSONArgsRecommended"), (8, "MultipleInstructionsDisallowed"), (9, "FromAsCasing"), (9, "ReservedStageName"),
        (12, "DuplicateStageName"), (13, "MaintainerDeprecated"),
    ]  # fmt: skip


def test_a_plain_file_gives_no_warning() -> None:
    assert findings('FROM debian AS a\nWORKDIR /app\nENV A=1\nENTRYPOINT ["x"]\nCMD ["y"]\nfrom a as b\ncmd ["z"]\n') == []


def test_rules_are_skipped_by_name_or_all_together() -> None:
    text = "FROM debian\nCMD echo\nMAINTAINER x\n"
    assert findings("# check=skip=JSONArgsRecommended\n" + text) == [(4, "MaintainerDeprecated")]
    assert findings("# check=skip=all;error=true\n" + text) == []


def test_a_warning_becomes_an_error_when_the_file_says_so() -> None:
    with pytest.raises(InvalidFile, match="Dockerfile:3: lint violation found for rules: JSONArgsRecommended"):
        findings("# check=error=true\nFROM debian\nCMD echo\n")
    assert findings("# check=error=true\nFROM debian\n") == []
