"""`app-json:*`: where an app's app.json is."""

from __future__ import annotations

import click

from paas.cli.properties import properties_report, set_command

COMMANDS: tuple[click.Command, ...] = (set_command("app-json"), properties_report("app-json"))
