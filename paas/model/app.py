"""App: a name, a number, and what may be called an app."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.errors import InvalidInput
from paas.model.container import Tenant

#: Dokku's rule for app names (plugins/common, is_valid_app_name), bounded for hostnames.
APP_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*\Z")
MAX_NAME_LENGTH = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One deployed thing with a git repository, config, releases and routes.

    `number` (from 1, the smallest unused) fixes the app's uid range and its network: both are derived, never stored.
    """

    name: str
    number: int
    created_at: float
    deploy_branch: str = ""
    is_locked: bool = False
    is_stopped: bool = False

    @property
    def tenant(self) -> Tenant:
        """Return who the app's containers belong to."""
        return Tenant(name=self.name, number=self.number)


def parse_app_name(name: str) -> str:
    """Return the name, or raise InvalidInput saying which rule it breaks."""
    is_hostname = not any(label.startswith("-") or label.endswith("-") or not label for label in name.split("."))
    if not APP_NAME.match(name) or len(name) > MAX_NAME_LENGTH or name.endswith(".git") or not is_hostname:
        raise InvalidInput(
            f"'{name}' is not a valid app name",
            remedy="use up to 63 lowercase letters, digits, '.' and '-', starting with a letter or digit, e.g. my-shop",
        )
    return name
