"""`checks:*`: how new containers are checked and old ones retired."""

from __future__ import annotations

import click

from paas.cli.properties import report_command, set_command

COMMANDS: tuple[click.Command, ...] = (set_command("checks"), report_command("checks"))
