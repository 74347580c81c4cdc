"""Config vars that app.json asks for: known before the build, stored only when the release that has them goes live."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from paas.context import Context
from paas.errors import InvalidInput
from paas.model.app import App
from paas.model.appjson import AppJson, EnvVar
from paas.model.env import Secret


def wanted_config(ctx: Context, app: App, app_json: AppJson) -> dict[str, str]:
    """Return the config vars that a deploy with this app.json adds. Raises InvalidInput for a required one without a value."""
    return plan_config(app.name, app_json.env, ctx.state.config.merged(app.name), generate=lambda: secrets.token_hex(32))


def plan_config(
    app: str, declared: Sequence[EnvVar], present: Mapping[str, str], *, generate: Callable[[], str]
) -> dict[str, str]:
    """Return what is missing, or differs from a value that is synced. Pure.

    Unlike Dokku, which looks at this section on the first deploy only, a variable that is added later gets its value, too.
    """
    added: dict[str, str] = {}
    missing: list[EnvVar] = []
    for var in declared:
        if var.name in present and not (var.is_synced and var.value is not None):
            continue
        if var.value is not None:
            added[var.name] = var.value
        elif var.is_generated:
            added[var.name] = Secret(generate())
        elif var.is_required:
            missing.append(var)
    if missing:
        raise _missing_values(app, missing)
    return {name: value for name, value in added.items() if present.get(name) != value}


def _missing_values(app: str, missing: Sequence[EnvVar]) -> InvalidInput:
    names = ", ".join(f"{var.name} ({var.description})" if var.description else var.name for var in missing)
    values = " ".join(f"{var.name}=..." for var in missing)
    return InvalidInput(f"app.json of {app} requires config vars that have no value: {names}",
                        remedy=f"run: paas config:set {app} {values}")
