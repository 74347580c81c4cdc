"""The resident parent `paas serve`: holds the listening sockets, keeps three children alive, and does nothing else.

executor    runs commands              forked from here, where everything is imported already
supervisor  brings fact to intent      likewise
gateway     SSH, as an unprivileged    a fresh interpreter: it shares neither memory nor imports with root's processes
            user
The sockets live here, so a client that comes while a child is being restarted waits instead of being refused. Containers and
nginx are nobody's children: they go on when all of this ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from paas import plugins
from paas.context import Context, Identity
from paas.errors import Conflict, HostProblem
from paas.host.files import last_lines
from paas.host.process import rename_process, take_service_manager, wait_for_end
from paas.output import Output
from paas.serve.addresses import local_socket, only_server, server_pid, ssh_socket
from paas.serve.boot import bring_back
from paas.serve.executor import Executor
from paas.serve.family import STOP_TIMEOUT_S, Child, Family
from paas.serve.stop import StopSignal
from paas.serve.supervisor import Supervisor
from paas.serve.workers import fork_worker, wait_for

#: Libraries that commands import where they use them.
_HEAVY = ("sqlite3", "jinja2", "git", "pyroute2")
#: A command that finds nothing and changes nothing, on the way that most commands take.
_REHEARSAL = ("container:exec", "-", "true")


def serve(ctx: Context, *, on_ready: Callable[[], None] = lambda: None) -> None:
    """Be the server until SIGTERM. Raises Conflict when one runs already, HostProblem when an address is taken."""
    rename_process("paas-serve")
    notify = take_service_manager()
    os.umask(0o022)
    os.chdir("/")
    for directory in (ctx.paths.run, ctx.paths.root, ctx.paths.etc):
        directory.mkdir(parents=True, exist_ok=True)
    with only_server(ctx.paths.serve_pid), ssh_socket(ctx.settings) as ssh, local_socket(ctx.paths.socket) as local:
        stop = StopSignal()
        preload(ctx)
        wait_for(fork_worker("boot", lambda: bring_back(ctx)))
        family = Family(_children(ctx, local, ssh), stop)
        family.start()
        notify("READY=1")
        on_ready()
        family.watch()
        notify("STOPPING=1")
        family.stop()


def serve_detached(ctx: Context) -> None:
    """Start the server in the background and return when it is ready. Raises what the server would, or HostProblem."""
    if pid := server_pid(ctx.paths.serve_pid):
        raise Conflict(f"The server runs already (pid {pid})", remedy="to start it anew: paas serve --stop")
    reader, writer = os.pipe()
    log = ctx.paths.serve_log
    log.parent.mkdir(parents=True, exist_ok=True)
    if os.fork() == 0:
        os.close(reader)
        _become_daemon(ctx, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        is_ready = bool(pipe.read())
    if not is_ready:
        raise HostProblem("The server did not start", output=last_lines(log), remedy=f"see {log}, or run: paas doctor")


def stop(ctx: Context) -> None:
    """Have the running server end and wait for it. Raises Conflict when none runs."""
    pid = server_pid(ctx.paths.serve_pid)
    if not pid:
        raise Conflict("The server does not run", remedy="start it with: paas serve --detach")
    ctx.output.step(f"Stopping the server (pid {pid})")
    if not wait_for_end(pid, signal.SIGTERM, timeout_s=STOP_TIMEOUT_S + 5):
        raise HostProblem(f"The server (pid {pid}) did not end", remedy=f"see {ctx.paths.serve_log}, or run: kill -9 {pid}")


def preload(ctx: Context) -> None:
    """Import all that commands need and keep the garbage collector off it, so that forks share the memory."""
    for name in _HEAVY:
        with contextlib.suppress(ImportError):  # whoever needs it will say so
            importlib.import_module(name)
    plugins.load("commands", "preload")()
    ctx.state.vault.preload()
    ctx.engine.preload()
    ctx.proxy.preload()
    gc.collect()
    gc.freeze()


def _children(ctx: Context, local: socket.socket, ssh: socket.socket | None) -> list[Child]:
    poked, poking = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    poking.setblocking(False)

    def poke() -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):  # it has pokes enough, or is being restarted and looks anyway
            poking.send(b"x")

    def run(argv: Sequence[str], identity: Identity) -> int:
        return int(plugins.load("commands", "run")(argv, replace(ctx, identity=identity, output=Output())))

    def execute() -> None:
        Executor(local, user=ctx.settings.user, run=run, poke=poke, rehearsal=_REHEARSAL).serve(StopSignal())

    def supervise() -> None:
        Supervisor(ctx, poked).run(StopSignal())

    children = [
        Child(name="executor", work=execute, keeps=(local.fileno(), poking.fileno())),
        Child(name="supervisor", work=supervise, keeps=(poked.fileno(),)),
    ]
    if ssh is not None:
        descriptor = ssh.fileno()
        children.append(Child(name="gateway", work=lambda: _exec_gateway(ctx, descriptor), keeps=(descriptor,)))
    return children


def _exec_gateway(ctx: Context, descriptor: int) -> None:
    os.set_inheritable(descriptor, True)
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8",
        "PAAS_ROOT": str(ctx.paths.root), "PAAS_RUN": str(ctx.paths.run), "PAAS_ETC": str(ctx.paths.etc),
        "MALLOC_ARENA_MAX": "2",  # many threads that wait: an arena for each core and more would be memory for nothing
    }  # fmt: skip
    os.execve(sys.executable, [sys.executable, "-P", "-m", "paas.gateway", str(descriptor)], environment)


def _become_daemon(ctx: Context, ready: int) -> None:
    """Be the server, with the log as output, away from the terminal: never returns."""
    code = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(ctx.paths.serve_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        code = plugins.load("commands", "guard")(lambda: _serve_aloud(ctx, ready), Output())
    finally:
        os._exit(code)


def _serve_aloud(ctx: Context, ready: int) -> int:
    """Be the server; write to the descriptor when it is ready."""

    def say_ready() -> None:
        os.write(ready, b"ready\n")
        os.close(ready)

    serve(ctx, on_ready=say_ready)
    return 0
