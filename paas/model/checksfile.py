"""The CHECKS file of older Dokku versions -> health checks of web, in app.json's own form. Pure.

    WAIT=5 TIMEOUT=30 ATTEMPTS=5, one a line      of all checks
    /about      Our Amazing Team                  path, and what the page holds
    //admin.example.com/  Admin                   the same with another Host

Source: Dokku 0.30, docs/deployment/zero-downtime-deploys.md, "Legacy CHECKS file".
"""

from __future__ import annotations

import json
import re

from paas.errors import InvalidFile
from paas.model.appjson import AppJson, parse_app_json
from paas.model.jsonc import parse_jsonc
from paas.model.process import WEB

_SETTING = re.compile(r"(?:export\s+)?(WAIT|TIMEOUT|ATTEMPTS)\s*=\s*(\d{1,5})\s*\Z", re.ASCII)
_CHECK = re.compile(
    r"(?:(?:(?P<scheme>https?):)?//(?P<host>[A-Za-z0-9.:-]+))?(?P<path>/(?!/)[!-~]*)(?:\s+(?P<content>.*\S))?\s*\Z"
)
_DEFAULTS = {"WAIT": 5, "TIMEOUT": 30, "ATTEMPTS": 5}


def parse_checks(text: str, *, file: str = "CHECKS") -> tuple[dict[str, object], ...]:
    """Return the file's checks as app.json writes them. Raises InvalidFile with the line."""
    settings, found = dict(_DEFAULTS), []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.match(line)
        if setting:
            settings[setting[1]] = int(setting[2])
            continue
        check = _CHECK.match(line)
        if check is None:
            remedy = "write a path and what its page holds: /about  About us"
            raise InvalidFile(file, number, "is no check", text=raw, remedy=remedy)
        found.append(check)
    if not 1 <= settings["ATTEMPTS"] <= 1000:
        raise InvalidFile(file, 0, "ATTEMPTS must be 1 to 1000")
    return tuple(_healthcheck(check, settings) for check in found)


def _healthcheck(check: re.Match[str], settings: dict[str, int]) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "startup", "path": check["path"], "content": check["content"] or "", "scheme": check["scheme"] or "http",
        "wait": settings["WAIT"], "timeout": settings["TIMEOUT"], "attempts": settings["ATTEMPTS"],
    }  # fmt: skip
    if check["host"]:
        found["httpHeaders"] = [{"name": "Host", "value": check["host"]}]
    return found


def with_checks(app_json: AppJson, text: str, *, file: str = "CHECKS") -> AppJson:
    """Return app.json with the checks of a CHECKS file, unless it has checks of web itself. Raises InvalidFile."""
    checks = parse_checks(text, file=file)
    if not checks or WEB in app_json.healthchecks:
        return app_json
    written = parse_jsonc(app_json.text, file="app.json").value if app_json.text else {}
    healthchecks = {**(written.get("healthchecks") or {}), WEB: list(checks)}
    return parse_app_json(json.dumps({**written, "healthchecks": healthchecks}))
