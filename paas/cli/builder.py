"""`builder:*`: how an app is built."""

from __future__ import annotations

import click

from paas.cli.properties import properties_report, set_command

COMMANDS: tuple[click.Command, ...] = (set_command("builder"), properties_report("builder"))
