"""Shell hooks: executables of the administrator, run at named moments (triggers).

`/etc/paas/hooks/<trigger>` is run as root with the app's name and the trigger's own arguments; hooks/README.md lists them.
"""

from __future__ import annotations

import os

from paas.context import Context
from paas.errors import TaskFailed
from paas.host.run import stream

#: Long enough for a notification or a backup, short enough that a hung hook does not hold an app for ever.
HOOK_TIMEOUT_S = 600.0


def run_hook(ctx: Context, trigger: str, app: str, *arguments: str) -> None:
    """Run the trigger's hook if there is one. Raises TaskFailed when it exits non-zero."""
    hook = ctx.paths.etc / "hooks" / trigger
    if not os.access(hook, os.X_OK):
        return
    ctx.output.step(f"Running hook {trigger}")
    status = stream([str(hook), app, *arguments], ctx.output.detail, timeout_s=HOOK_TIMEOUT_S)
    if status != 0:
        raise TaskFailed(f"Hook {trigger} of {app} exited with status {status}", remedy=f"see {hook}")
