"""`paas doctor`: what this machine lacks, why it matters, and the command that cures it. The checks are in host/doctor.py."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from paas.context import Context
from paas.errors import PaasError
from paas.host.doctor import Finding, Level, diagnose
from paas.host.facts import read_facts

_SHOWN_ORPHANS = 5
_MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}


@click.command("doctor")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="json for monitoring")
@click.option("--verbose", is_flag=True, help="show the checks that passed, too")
@click.pass_context
def doctor(command: click.Context, style: str, verbose: bool) -> None:
    """Check this machine; say what is missing, why it matters and what to type."""
    ctx: Context = command.obj
    facts = read_facts(ctx.paths, ctx.settings, is_nginx_running=ctx.proxy.is_running())
    findings = (*diagnose(facts), *_orphans(ctx), *_config_key(ctx))
    if style == "json":
        ctx.output.plain(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(ctx, findings, verbose=verbose)
    if any(finding.level is Level.PROBLEM for finding in findings):
        command.exit(1)


def _orphans(ctx: Context) -> tuple[Finding, ...]:
    try:
        found = ctx.engine.orphans()
    except PaasError as exc:
        return (Finding(check="containers", level=Level.PROBLEM, found=exc.message, why="none can be seen", remedy=exc.remedy),)
    if not found:
        return (Finding(check="containers", level=Level.OK, found="nothing is left over"),)
    more = f" and {len(found) - _SHOWN_ORPHANS} more" if len(found) > _SHOWN_ORPHANS else ""
    return (
        Finding(
            check="containers", level=Level.WARNING, found=f"left over: {', '.join(found[:_SHOWN_ORPHANS])}{more}",
            why="a crash left it; it takes disk and memory", remedy="systemctl restart paas, which repairs",
        ),
    )  # fmt: skip


def _config_key(ctx: Context) -> tuple[Finding, ...]:
    if not ctx.state.vault.seals:
        return ()
    try:
        ctx.state.vault.seal("")
    except PaasError as exc:
        why = "without it no config var can be read, and nothing started"
        return (Finding(check="config key", level=Level.PROBLEM, found=exc.message, why=why, remedy=exc.remedy),)
    return (Finding(check="config key", level=Level.OK, found="config vars are encrypted"),)


def _show(ctx: Context, findings: tuple[Finding, ...], *, verbose: bool) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        if finding.level is Level.OK and not verbose:
            continue
        ctx.output.plain(f"{_MARKS[finding.level]:<8} {finding.check:<{width}}  {finding.found}")
        if finding.why:
            ctx.output.plain(f"{'':<8} {'':<{width}}  {finding.why}; type: {finding.remedy}")
    counts = {level: sum(1 for finding in findings if finding.level is level) for level in Level}
    ctx.output.plain(
        f"{counts[Level.OK]} checks passed, {counts[Level.WARNING]} warnings, {counts[Level.PROBLEM]} problems"
    )


COMMANDS: tuple[click.Command, ...] = (doctor,)
