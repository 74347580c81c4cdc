"""`builder-dockerfile:*`: which Dockerfile an app is built from, and how."""

from __future__ import annotations

import click

from paas.cli.properties import properties_report, set_command

SET = set_command("builder-dockerfile")
COMMANDS: tuple[click.Command, ...] = (SET, properties_report("builder-dockerfile"))
