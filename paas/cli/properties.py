"""Properties of apps: one table drives `<topic>:set`, `<topic>:report` and the check of every value."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from paas.cli.common import report_command
from paas.context import Context
from paas.deploy import routes
from paas.deploy.retention import RETENTION
from paas.errors import InvalidSetting, UsageError
from paas.host.clock import find_zone
from paas.proxies.nginx import properties as nginx

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One key of `<topic>:set`: what it means, what it may be, and what holds without it: `default` or a setting of paas.toml."""

    doc: str
    check: Check
    example: str
    default: str = ""
    setting: str = ""


def _matching(pattern: str) -> Check:
    return lambda value: re.fullmatch(pattern, value, re.ASCII) is not None


def _are_assignments(value: str) -> bool:
    try:
        return all(word.partition("=")[0] and "=" in word for word in shlex.split(value))
    except ValueError:
        return False


_SECONDS = _matching(r"\d{1,6}")
_PATH = _matching(r"(?!/)(?!.*\.\.)[\w./-]{1,200}")
_NAME = _matching(r"(?![-/.])(?!.*\.\.)[\w./-]{1,100}")
# fmt: off
PROPERTIES: Mapping[str, Mapping[str, Property]] = {
    "builder": {
        "selected": Property(doc="builder to use, whatever is detected", check=_NAME, example="dockerfile"),
        "build-dir": Property(doc="directory of the repository that is built", check=_PATH, example="services/api"),
    },
    "builder-dockerfile": {
        "dockerfile-path": Property(
            doc="which Dockerfile", check=_PATH, example="deploy/web.Dockerfile", default="Dockerfile"),
        "target": Property(doc="stage to build, by name or number", check=_NAME, example="production"),
        "build-args": Property(doc="build arguments, apart by spaces", check=_are_assignments, example="'VERSION=2 DEBUG='"),
        "labels": Property(doc="labels of the image, apart by spaces", check=_are_assignments, example="org.example.team=web"),
    },
    "app-json": {
        "appjson-path": Property(doc="where app.json is", check=_PATH, example="deploy/app.json", default="app.json"),
    },
    "builds": {
        "queue": Property(
            doc="which of several pushes that wait are deployed", check=_matching("newest|all"), example="all", default="newest"),
        "retention": Property(
            doc="deploys whose log and record are kept", check=_matching(r"[1-9]\d{0,4}"), example="50", default=str(RETENTION)),
    },
    "releases": {
        "keep": Property(
            doc="releases whose images are kept for rollback", check=_matching(r"[1-9]\d{0,4}"), example="20",
            setting="releases_keep"),
    },
    "cron": {
        "timezone": Property(doc="time zone of the schedules; default: the machine's", check=lambda v: find_zone(v) is not None,
                             example="Europe/Berlin"),
        "ttl-seconds": Property(
            doc="longest time a run may take", check=_matching(r"[1-9]\d{0,7}"), example="3600", default="86400"),
    },
    "git": {
        "deploy-branch": Property(doc="branch whose push deploys", check=_NAME, example="main"),
    },
    "ps": {
        "procfile-path": Property(doc="where the Procfile is", check=_PATH, example="deploy/Procfile", default="Procfile"),
        "restore": Property(
            doc="false: not started after a boot of the machine", check=_matching("true|false"), example="false", default="true"),
        "stop-timeout-seconds": Property(doc="SIGTERM to SIGKILL", check=_SECONDS, example="30", setting="stop_timeout_s"),
        "restart-policy": Property(
            doc="when a process that ended is started again", check=_matching(r"always|unless-stopped|no|on-failure(:\d{1,4})?"),
            example="on-failure:20", default="on-failure:10"),
    },
    "checks": {
        "wait-to-retire": Property(
            doc="longest wait for requests in flight", check=_SECONDS, example="30", setting="wait_to_retire_s"),
        "timeout": Property(
            doc="seconds a process has to get ready", check=_matching(r"[1-9]\d{0,5}"), example="120",
            setting="check_timeout_s"),
    },
    "registry": {
        "push-on-release": Property(
            doc="push the image of each release", check=_matching(r"true|false"), example="true", default="false"),
        "server": Property(
            doc="registry to push to", check=_matching(r"[a-zA-Z0-9.-]+(:\d{1,5})?"), example="registry.example.com"),
        "image-repo": Property(
            doc="name there, by default paas/<app>", check=_matching(r"[a-z0-9]+([._/-]+[a-z0-9]+)*"), example="team/shop"),
    },
    "nginx": {
        p.name: Property(doc=p.directive or "for the app", check=_matching(p.pattern), example=p.example, default=p.default)
        for p in nginx.PROPERTIES
    },
}
# fmt: on


def set_command(topic: str) -> click.Command:
    """Return the command `<topic>:set`."""

    @click.command(f"{topic}:set", help=f"Set a property; without a value it is cleared. Keys: {', '.join(PROPERTIES[topic])}.")
    @click.argument("words", nargs=-1, required=True, metavar="<app>|--global KEY [VALUE]")
    @click.option("--global", "is_global", is_flag=True, help="for all apps")
    @click.pass_obj
    def set_property(ctx: Context, words: tuple[str, ...], is_global: bool) -> None:
        scope, key, value = _parse(topic, ("", *words) if is_global else words)
        if scope:
            ctx.state.apps.get(scope)
        check_value(topic, key, value)
        _store(ctx, topic, scope, key, value)
        ctx.output.step(f"{'Setting' if value else 'Unsetting'} {key}{f' to {value}' if value else ''}")

    return set_property


def _parse(topic: str, words: tuple[str, ...]) -> tuple[str, str, str]:
    if not 2 <= len(words) <= 3:
        raise UsageError(f"{topic}:set takes an app, a key and a value", remedy=f"e.g. {_example(topic)}")
    return words[0], words[1], words[2] if len(words) == 3 else ""


def _store(ctx: Context, topic: str, scope: str, key: str, value: str) -> None:
    if topic == "nginx":
        routes.change_property(ctx, scope, key, value)
    elif (topic, key) == ("git", "deploy-branch"):
        if not scope:
            raise UsageError("Each app has a deploy-branch of its own", remedy="e.g. paas git:set shop deploy-branch main")
        ctx.state.apps.set_deploy_branch(scope, value)
    else:
        ctx.state.properties.set(scope, topic, key, value)


def properties_report(topic: str) -> click.Command:
    """Return the command `<topic>:report`."""
    doc = f"Show the {topic} properties: the app's own, the global and the resulting value."
    return report_command(topic, doc, lambda ctx, app: report_of(ctx, topic, app))


def report_of(ctx: Context, topic: str, app: str) -> dict[str, str]:
    """Return `<topic>-<key>`, `-global-` and `-computed-` values."""
    own, shared = ctx.state.properties.get(app, topic), ctx.state.properties.get("", topic)
    if topic == "git":
        own = {**own, "deploy-branch": ctx.state.apps.get(app).deploy_branch}
    found: dict[str, str] = {}
    for key, declared in PROPERTIES[topic].items():
        built_in = str(getattr(ctx.settings, declared.setting)) if declared.setting else declared.default
        found[f"{topic}-{key}"] = own.get(key, "")
        found[f"{topic}-global-{key}"] = shared.get(key, "")
        found[f"{topic}-computed-{key}"] = own.get(key) or shared.get(key) or built_in
    return found


def check_value(topic: str, key: str, value: str) -> None:
    """Raise InvalidSetting for an unknown key or a value it may not have; empty is always fine. Pure."""
    declared = PROPERTIES[topic].get(key)
    if declared is None:
        near = difflib.get_close_matches(key, PROPERTIES[topic], 1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(PROPERTIES[topic])}"
        raise InvalidSetting(f"'{key}' is no property of {topic}", remedy=hint)
    if value and not declared.check(value):
        raise InvalidSetting(f"'{value}' is no value for {topic} {key} ({declared.doc})", remedy=f"e.g. {declared.example}")


def _example(topic: str) -> str:
    key, declared = next(iter(PROPERTIES[topic].items()))
    return f"paas {topic}:set shop {key} {declared.example}"
