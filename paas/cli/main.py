"""Entry point of `paas`: hand the command to the server, or do the work here when root finds none. Light on purpose."""

from __future__ import annotations

import os
import sys

#: Done in this process, server or not: they are about the server, or must work without it.
_LOCAL = ("serve", "doctor")


def main() -> int:
    """Run one command line and return its exit code."""
    from paas.cli.client import run_ssh_command, try_server

    argv = sys.argv[1:]
    if argv[:1] == ["ssh-command"] and len(argv) == 2:
        return run_ssh_command(argv[1])
    if argv[:1] not in ([name] for name in _LOCAL):
        code = try_server(argv)
        if code is not None:
            return code
    if sys.flags.no_site:  # the launcher leaves it out: what the client needs is without it
        import site

        site.main()
    if os.geteuid() != 0:
        sys.stderr.write(" !     The server does not run, and without it only root may use paas\n       run: sudo paas doctor\n")
        return os.EX_UNAVAILABLE
    from paas.cli.root import run_in_process

    return run_in_process(argv)


if __name__ == "__main__":
    sys.exit(main())
