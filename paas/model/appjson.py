"""app.json: what an app says about itself beside its code. Pure.

Of Heroku's schema and Dokku's additions to it we read buildpacks, cron, env, formation, healthchecks and scripts; everything
else (addons, environments, stack, name, ...) is ignored, and so are keys that we do not know inside those. What a build accepted
is read again with each of its releases: a later version may accept more, never less.

Source: Dokku, docs/appendices/file-formats/app-json.md; Heroku app.json schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from paas.errors import InvalidInput
from paas.model.cron import Concurrency, Schedule, parse_schedule
from paas.model.env import KEY
from paas.model.healthcheck import Healthcheck, parse_healthcheck
from paas.model.jsonc import Node, parse_jsonc
from paas.model.process import MAX_QUANTITY, PROCESS_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTask:
    """A command that runs by itself. `id` is the same as long as command and schedule are. `is_suspended` is `maintenance`."""

    id: str
    command: str
    schedule: Schedule
    concurrency: Concurrency = Concurrency.ALLOW
    is_suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """A config var that the app wants. With `is_synced` the value is set on each deploy, else only where there is none yet."""

    name: str
    value: str | None = field(default=None, repr=False)
    description: str = ""
    is_required: bool = True
    is_generated: bool = False
    is_synced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFormation:
    """How a process type runs. `quantity` None leaves the count to `ps:scale`; `max_parallel` 0 is the platform's own choice."""

    quantity: int | None = None
    max_parallel: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripts:
    """Shell lines; '' where there is none. `first_postdeploy` is Heroku's `postdeploy`: once, after the first deploy."""

    predeploy: str = ""
    postdeploy: str = ""
    first_postdeploy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppJson:
    """The whole file. `text` is what stood there, '' if there was none: it is what is stored."""

    text: str = field(default="", repr=False)
    buildpacks: tuple[str, ...] = ()
    cron: tuple[CronTask, ...] = ()
    env: tuple[EnvVar, ...] = ()
    formation: Mapping[str, TypeFormation] = field(default_factory=dict)
    healthchecks: Mapping[str, tuple[Healthcheck, ...]] = field(default_factory=dict)
    scripts: Scripts = Scripts()

    @property
    def quantities(self) -> Mapping[str, int]:
        """Return the counts that the file sets."""
        return {name: one.quantity for name, one in self.formation.items() if one.quantity is not None}


NO_APP_JSON = AppJson()


@lru_cache(maxsize=512)
def parse_app_json(text: str, *, file: str = "app.json") -> AppJson:
    """Read the file's text; an empty one says nothing. Raises InvalidFile with key and line."""
    if not text.strip():
        return NO_APP_JSON
    root = parse_jsonc(text, file=file)
    return AppJson(
        text=text,
        buildpacks=tuple(node.required("url").string() for node in root.items_of("buildpacks")),
        cron=_cron(root),
        env=tuple(_env_var(name, node) for name, node in root.members_of("env")),
        formation={name: _formation(name, node) for name, node in root.members_of("formation")},
        healthchecks={name: _checks(name, node) for name, node in root.members_of("healthchecks")},
        scripts=_scripts(root),
    )


def _cron(root: Node) -> tuple[CronTask, ...]:
    found: dict[str, CronTask] = {}
    for node in root.items_of("cron"):
        task = _cron_task(node)
        if task.id in found:
            node.fail("has the same command and schedule as one before")
        found[task.id] = task
    return tuple(found.values())


def _cron_task(node: Node) -> CronTask:
    command, written = node.required("command").string().strip(), node.required("schedule")
    line = written.string()
    try:
        schedule = parse_schedule(line)
    except InvalidInput as exc:
        written.fail(f"is wrong: {exc.message}", remedy=exc.remedy)
    policy = node.get("concurrency_policy")
    if policy is not None and policy.value not in tuple(Concurrency):
        policy.fail(f"must be one of: {', '.join(Concurrency)}")
    return CronTask(
        id=hashlib.sha256(f"{command}\0{schedule.text}".encode()).hexdigest()[:10],
        command=command,
        schedule=schedule,
        concurrency=Concurrency.ALLOW if policy is None else Concurrency(policy.string()),
        is_suspended=node.boolean_of("maintenance"),
    )


def _env_var(name: str, node: Node) -> EnvVar:
    if not KEY.match(name):
        node.fail("is not a valid variable name", remedy="use letters, digits and '_', no digit in front")
    if not isinstance(node.value, dict):
        return EnvVar(name=name, value=node.string())
    value, generator = node.get("value"), node.get("generator")
    if generator is not None and generator.value != "secret":
        generator.fail("must be \"secret\": 64 random hexadecimal digits")
    return EnvVar(
        name=name,
        value=None if value is None else value.string(),
        description=node.string_of("description"),
        is_required=node.boolean_of("required", True),
        is_generated=generator is not None,
        is_synced=node.boolean_of("sync"),
    )


def _process_type(name: str, node: Node) -> None:
    if not PROCESS_TYPE.match(name):
        node.fail("is not a process type", remedy="use letters, digits, '-' and '_', at most 63")


def _formation(name: str, node: Node) -> TypeFormation:
    _process_type(name, node)
    quantity = node.get("quantity")
    return TypeFormation(
        quantity=None if quantity is None else quantity.integer(0, MAX_QUANTITY),
        max_parallel=node.integer_of("max_parallel", 0, 1, MAX_QUANTITY),
    )


def _checks(name: str, node: Node) -> tuple[Healthcheck, ...]:
    _process_type(name, node)
    return tuple(parse_healthcheck(one) for one in node.items())


def _scripts(root: Node) -> Scripts:
    scripts = root.get("scripts")
    if scripts is None:
        return Scripts()
    dokku, first = scripts.get("dokku"), scripts.get("postdeploy")
    return Scripts(
        predeploy=dokku.string_of("predeploy").strip() if dokku else "",
        postdeploy=dokku.string_of("postdeploy").strip() if dokku else "",
        first_postdeploy=_first_postdeploy(first).strip() if first else "",
    )


def _first_postdeploy(node: Node) -> str:
    return node.required("command").string() if isinstance(node.value, dict) else node.string()
