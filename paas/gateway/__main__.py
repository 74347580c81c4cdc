"""Start of the gateway process: `python -m paas.gateway <listening descriptor>`, as root, which it gives up at once."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

from paas.errors import PaasError
from paas.gateway.authorized import AuthorizedKeys
from paas.gateway.hostkeys import load_host_keys
from paas.gateway.server import Gateway
from paas.host.process import become, end_with_parent, rename_process
from paas.paths import Paths
from paas.settings import load_settings

#: Enough for paramiko's deepest call; the default of 8 MiB would be address space for nothing.
_STACK_BYTES = 512 * 1024


def main() -> int:
    """Serve SSH on an inherited listening socket until SIGTERM."""
    parent = os.getppid()
    rename_process("paas-gateway")
    threading.stack_size(_STACK_BYTES)
    quiet = logging.getLogger("paramiko")
    quiet.addHandler(logging.NullHandler())  # every port scanner would fill the log with tracebacks
    quiet.propagate = False
    paths = Paths.from_environment()
    try:
        settings = load_settings(paths.settings_file)
        host_keys = load_host_keys(paths.host_keys)
        become(settings.user)
    except PaasError as exc:
        sys.stderr.write(f" !     SSH: {exc.message}\n       {exc.remedy}\n")
        return exc.exit_code
    end_with_parent(parent)
    gateway = Gateway(
        socket.socket(fileno=int(sys.argv[1])), host_keys=host_keys, settings=settings,
        authorized=AuthorizedKeys(paths.authorized_keys), executor=paths.socket,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda _number, _frame: gateway.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gateway.serve()
    return 0


if __name__ == "__main__":
    sys.stderr.flush()
    os._exit(main())  # threads of connections that hang must not hold us
