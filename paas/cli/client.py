"""The thin client: hand a command and our own stdin, stdout and stderr to the server, wait for its exit code.

Imported for every command, so it imports nothing that costs start-up time: not paas.paths, and of os, socket and signal only
the parts written in C, which are there already. The interpreter itself is most of what a short command takes.
Protocol: one JSON line with the three descriptors (SCM_RIGHTS); then lines `{"signal": name}` to the server, one line
`{"exit": code, "error": text}` back. The server knows who we are from the socket (SO_PEERCRED).
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys

TYPE_CHECKING = False  # typing costs 5 ms; so the types below stand in quotes: __future__ is one more file to read
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

#: What of our environment the command gets. The server has its own copy of this list and drops the rest.
FORWARDED = frozenset({
    "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "COLUMNS", "LINES", "PAAS_TRACE",
    "PAAS_RECEIVING_SINCE", "GIT_PROTOCOL", "SOURCE_DATE_EPOCH",
})  # fmt: skip
FORWARDED_PREFIX = "GIT_PUSH_OPTION_"
#: Variables of ours that the command line names; never taken for the command's own environment.
CALLER_PREFIX = "PAAS_CALLER_"
#: Commands that take variables by their names alone.
_NAMING = frozenset({"image:build", "container:run", "container:create", "container:exec"})
#: Exit code when the server goes away before the command ends.
SERVER_GONE = posix.EX_UNAVAILABLE
#: What the server's answer is around the exit code, when there is nothing else to say.
_SIMPLE = (b'{"exit": ', b', "error": "", "remedy": ""}\n')
#: After so many Ctrl-C without an answer the client gives up waiting.
PATIENCE = 3


def socket_path() -> str:
    """Return the path of the server's socket, as paas.paths has it."""
    return f"{environment().get('PAAS_RUN', '/run/paas').rstrip('/')}/paas.sock"


def environment() -> "dict[str, str]":
    """Return our environment as os.environ has it; os costs 1 ms, and without site nobody has imported it."""
    kept = "surrogateescape"
    return {name.decode(errors=kept): value.decode(errors=kept) for name, value in posix.environ.items()}


def try_server(argv: "Sequence[str]") -> int | None:
    """Run the command in the server with our terminal; return its exit code, or None when no server listens."""
    variables = environment()
    return _run({"argv": argv, "cwd": _directory(), "as": variables.get("PAAS_IDENTITY", "")}, named_variables(argv, variables))


def run_ssh_command(key_name: str) -> int:
    """Run what an OpenSSH client asked for as the owner of this key: the forced command of authorized_keys."""
    code = _run({"command": environment().get("SSH_ORIGINAL_COMMAND", ""), "as": key_name}, minds_reader=True)
    if code is None:
        _complain("The server does not run", "ask the administrator to run: paas doctor")
        return SERVER_GONE
    return code


def open_command(path: str, request: "Mapping[str, object]", descriptors: "Sequence[int]") -> "socket.socket":
    """Connect and send a request with stdin, stdout and stderr. Raises OSError."""
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _send_request(connection, path, request, descriptors)
    return connection


def send_signal(connection: _socket.socket, name: str) -> None:
    """Have the command signalled: INT, TERM, HUP or WINCH. A server that is gone is no failure here."""
    try:  # noqa: SIM105  # contextlib costs 4 ms
        connection.sendall(b'{"signal": "%s"}\n' % name.encode())
    except OSError:
        pass


def _send_request(connection: _socket.socket, path: str, request: "Mapping[str, object]", descriptors: "Sequence[int]") -> None:
    """Connect and send; the connection is closed when that fails."""
    passed = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors)
    try:
        connection.connect(path)
        line = as_json(request).encode() + b"\n"
        sent = connection.sendmsg([line], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, passed)])
        if sent < len(line):  # even nothing cannot be sent to a server that has refused already
            connection.sendall(line[sent:])
    except BaseException:
        connection.close()
        raise


def as_json(value: object) -> str:
    """Return texts, sequences and mappings of them as JSON; the json module takes as long to import as all the rest."""
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
            return f'"{value}"'
        from _json import encode_basestring_ascii

        return str(encode_basestring_ascii(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_json(key)}: {as_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_json, value)) + "]"
    raise TypeError(f"{type(value).__name__} is not sent to the server")


def _run(
    request: "dict[str, object]", variables: "Mapping[str, str] | None" = None, *, minds_reader: bool = False
) -> int | None:
    forwarded = {k: v for k, v in environment().items() if k in FORWARDED or k.startswith(FORWARDED_PREFIX)}
    request["env"] = {**forwarded, **(variables or {})}
    restore = _kept_terminal()
    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            _send_request(connection, socket_path(), request, (0, 1, 2))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except ConnectionError:
            return _say_server_gone()
        _forward_signals(connection)
        if minds_reader:
            _tell_when_reader_goes(connection)
        return _wait(connection)
    finally:
        restore()


def named_variables(argv: "Sequence[str]", variables: "Mapping[str, str]") -> "dict[str, str]":
    """Return what a command may want of our environment: `-e KEY` of a container, `--build-arg KEY`, `--secret id=KEY,env=KEY`
    and the SSH agent of a build; all of it for `--env-file`, whose lines only the server reads."""
    if not _NAMING.intersection(argv):
        return {}
    names = {"SSH_AUTH_SOCK", "SOURCE_DATE_EPOCH"}
    for field in ",".join(argv).split(","):
        names |= {field.rpartition("=")[2], field.removeprefix("-e")}
        if field.startswith("--env-file"):
            names.update(variables)
    return {CALLER_PREFIX: "1", **{CALLER_PREFIX + name: variables[name] for name in names if name in variables}}


def _forward_signals(connection: _socket.socket) -> None:
    names = {_signal.SIGINT: "INT", _signal.SIGTERM: "TERM", _signal.SIGHUP: "HUP", _signal.SIGWINCH: "WINCH"}
    interrupts = 0

    def forward(number: int, _frame: "FrameType | None") -> None:
        nonlocal interrupts
        send_signal(connection, names[number])
        interrupts += number == _signal.SIGINT
        if interrupts > PATIENCE:
            raise SystemExit(128 + _signal.SIGINT)

    for number in names:
        _signal.signal(number, forward)


def _tell_when_reader_goes(connection: _socket.socket) -> None:
    """Wait for the answer, and tell the server when nobody reads our output any more: sshd itself tells us nothing."""
    import select

    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(1, 0)  # POLLHUP and POLLERR come unasked
    seen = dict(poll.poll())
    if connection.fileno() not in seen and seen.get(1, 0) & (select.POLLHUP | select.POLLERR):
        send_signal(connection, "HUP")


def _wait(connection: _socket.socket) -> int:
    """Return the exit code that the server reports."""
    answer = b""
    try:
        while not answer.endswith(b"\n"):
            received = connection.recv(65536)
            if not received:
                break
            answer += received
    except ConnectionError:
        pass
    if not answer.endswith(b"\n"):
        return _say_server_gone()
    code = answer.removeprefix(_SIMPLE[0]).removesuffix(_SIMPLE[1])
    if code.isdigit():
        return int(code)
    import json

    result = json.loads(answer)
    if result.get("error"):
        _complain(result["error"], result.get("remedy", ""))
    return int(result["exit"])


def _say_server_gone() -> int:
    _complain("The server ended before the command did", "see what is there now, then try again: paas ps:report")
    return SERVER_GONE


def _kept_terminal() -> "Callable[[], None]":
    """Return what leaves the terminal as it is now, also when the command that had it in raw mode was killed."""
    if not posix.isatty(0):
        return lambda: None
    import termios

    before = termios.tcgetattr(0)

    def restore() -> None:
        try:
            if termios.tcgetattr(0) != before:
                termios.tcsetattr(0, termios.TCSADRAIN, before)
        except termios.error:
            pass

    return restore


def _directory() -> str:
    try:
        return posix.getcwd()
    except FileNotFoundError:
        return "/"  # the directory was removed under us


def _complain(message: str, remedy: str) -> None:
    lines = [f" !     {line}" for line in message.splitlines()] + ([f"       {remedy}"] if remedy else [])
    sys.stderr.write("\n".join(lines) + "\n")
