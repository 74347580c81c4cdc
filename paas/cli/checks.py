"""`checks:*`: how new containers are checked and old ones retired."""

from __future__ import annotations

import click

from paas.cli.properties import properties_report, set_command

COMMANDS: tuple[click.Command, ...] = (set_command("checks"), properties_report("checks"))
