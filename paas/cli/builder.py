"""`builder:*`: how an app is built."""

from __future__ import annotations

import click

from paas.cli.properties import report_command, set_command

COMMANDS: tuple[click.Command, ...] = (set_command("builder"), report_command("builder"))
