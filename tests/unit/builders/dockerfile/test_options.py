"""What an app says about its builds: docker-options and properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.builders import BuildRequest
from paas.builders.dockerfile.options import BuildOptions, parse_options
from paas.builders.dockerfile.order import order_from
from paas.errors import InvalidFile, InvalidInput
from paas.model.container import PLATFORM
from paas.model.source import Source
from paas.output import Output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", BuildOptions()),
        ("--build-arg A=1 --build-arg='B=two words'", BuildOptions(build_args={"A": "1", "B": "two words"})),
        ("--build-arg TOKEN --build-arg GONE", BuildOptions(build_args={"TOKEN": "t0ken"})),
        ("--target web -f deploy/Dockerfile", BuildOptions(target="web", dockerfile="deploy/Dockerfile")),
        ("--label a=b --no-cache --pull", BuildOptions(labels={"a": "b"}, uses_cache=False, pulls=True)),
        ("--label org.example.team=web --label a=b=c --label alone", BuildOptions(
            labels={"org.example.team": "web", "a": "b=c", "alone": ""})),
        ("--build-arg a-b.c=1", BuildOptions(build_args={"a-b.c": "1"})),
        ("--no-cache=false --progress plain\n--target=x", BuildOptions(target="x")),
        ("--secret id=key,env=TOKEN", BuildOptions(secrets={"key": "t0ken"})),
    ],
)
def test_options_are_docker_s(text: str, expected: BuildOptions) -> None:
    assert parse_options(text, {"TOKEN": "t0ken"}) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("--network host", "'--network' is no option"), ("--target", "needs a value"), ("'open", "cannot be read"),
        ("--secret id=x,src=/etc/shadow", "from config vars only"), ("--secret id=x,env=GONE", "GONE, which is not set"),
        ("web", "'web' is no option"), ("--label =x", "--label '=x' has no name"),
        ("--build-arg =x", "--build-arg '=x' has no name"),
    ],
)  # fmt: skip
def test_what_a_build_cannot_have_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parse_options(text, {})


def request(options: dict[str, str]) -> BuildRequest:
    return BuildRequest(
        app="shop", tenant=PLATFORM, source=Source(tree=Path("/tree")), cache=Path("/cache"), output=Output(quiet=True),
        env={"KEY": "value"}, options=options,
    )  # fmt: skip


def test_docker_options_win_over_properties() -> None:
    order = order_from(
        request({
            "builder-dockerfile.dockerfile-path": "a", "builder-dockerfile.target": "one",
            "builder-dockerfile.build-args": "A=1 B=2", "builder-dockerfile.labels": "org.example.l=1",
            "docker-options.build": "--build-arg B=3 --target two --label m=2",
        })
    )  # fmt: skip
    assert (order.dockerfile, order.target) == ("a", "two")
    labels = {"org.example.l": "1", "m": "2"}
    assert (order.build_args, order.labels, order.secrets) == ({"A": "1", "B": "3"}, labels, {"KEY": "value"})


@pytest.mark.parametrize("name", ["docker-options.build", "builder-dockerfile.build-args", "builder-dockerfile.labels"])
def test_malformed_properties_are_the_app_s_fault(name: str) -> None:
    with pytest.raises(InvalidFile, match=name.replace(".", "[. ]")):
        order_from(request({name: "'open"}))
