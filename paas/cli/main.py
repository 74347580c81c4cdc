"""Entry point of `paas`: hand the command to the server, or do the work here when root finds none. Light on purpose."""

import posix
import sys

TYPE_CHECKING = False  # see client.py
if TYPE_CHECKING:
    from typing import NoReturn

#: Done in this process, server or not: they are about the server, or must work without it.
_LOCAL = ("serve", "doctor")


def main() -> int:
    """Run one command line and return its exit code."""
    from paas.cli.client import run_ssh_command, try_server

    argv = sys.argv[1:]
    if argv[:1] == ["ssh-command"] and len(argv) == 2:
        _end(run_ssh_command(argv[1]))
    if argv[:1] not in ([name] for name in _LOCAL):
        code = try_server(argv)
        if code is not None:
            _end(code)
    if sys.flags.no_site:  # the launcher leaves it out: what the client needs is without it
        import site

        site.main()
    if posix.geteuid() != 0:
        sys.stderr.write(" !     The server does not run, and without it only root may use paas\n       run: sudo paas doctor\n")
        return posix.EX_UNAVAILABLE
    from paas.cli.root import run_in_process

    return run_in_process(argv)


def _end(code: int) -> "NoReturn":
    """End at once: taking the interpreter down costs as much as half of what the client does."""
    sys.stderr.flush()
    posix._exit(code)


if __name__ == "__main__":
    sys.exit(main())
