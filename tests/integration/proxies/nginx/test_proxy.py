"""The proxy with a real nginx of its own, real backends and real load."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness import SCRATCH, free_port, wait_until
from paas.errors import InvalidSetting, NotFound, RoutingFailed
from paas.model.route import Backend as Route
from paas.model.route import PathRoute, PortMap, Upstream, Vhost
from paas.paths import Paths
from paas.proxies.nginx.proxy import NginxProxy
from paas.settings import Settings

pytestmark = pytest.mark.integration


@dataclass(kw_only=True)
class Machine:
    """One instance's proxy with its own nginx, in a directory that its workers can reach."""

    base: Path
    port: int
    settings: Settings
    paths: Paths
    proxy: NginxProxy

    def vhost(self, app: str = "shop", *, container_port: int = 5000, **properties: str) -> Vhost:
        return Vhost(
            app=app,
            domains=(f"{app}.localhost",),
            ports=(PortMap(scheme="http", host=self.port, container=container_port),),
            properties=tuple((name.replace("_", "-"), value) for name, value in properties.items()),
        )

    def get(
        self, path: str = "/", *, host: str = "shop.localhost", method: str = "GET", body: str | None = None
    ) -> tuple[int, str]:
        """Return status and text; 0 when the connection was closed without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (http.client.RemoteDisconnected, ConnectionError):
            return 0, ""
        finally:
            connection.close()

    def nginx_pid(self) -> int:
        return int((self.base / "nginx.pid").read_text())

    def workers(self) -> set[int]:
        master = self.nginx_pid()
        return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))

    def kill_nginx(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid, workers = self.nginx_pid(), self.workers()
            for process in (pid, *workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            wait_until("nginx is gone", lambda: not any(map(_is_alive, (pid, *workers))))

    def start_nginx(self) -> None:
        subprocess.run([self.settings.nginx_binary, "-c", self.settings.nginx_main], check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    base = Path(tempfile.mkdtemp(prefix="ng", dir=SCRATCH))
    base.chmod(0o755)
    for name in ("etc", "log"):
        (base / name).mkdir()
    main = base / "nginx.conf"
    main.write_text(
        f"user www-data;\nworker_processes 2;\npid {base}/nginx.pid;\nerror_log {base}/log/error.log;\n"
        "include /etc/nginx/modules-enabled/*.conf;\nevents { worker_connections 2048; }\n"
        f"http {{\n  access_log off;\n  include {base}/extra*.conf;\n  include {base}/etc/*.conf;\n}}\n"
    )
    port = free_port()
    settings = Settings(nginx_main=str(main), nginx_dir=str(base / "etc"), nginx_log_dir=str(base / "log"), http_port=port)
    paths = Paths(root=base / "root", run=base / "run", etc=base / "etc")
    made = Machine(base=base, port=port, settings=settings, paths=paths, proxy=NginxProxy(paths=paths, settings=settings))
    try:
        yield made
    finally:
        made.kill_nginx()
        shutil.rmtree(base)


BACKEND = """
user www-data;
daemon off;
worker_processes 1;
pid {base}/backend.pid;
error_log {base}/log/backend.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  {servers}
}}
"""


@pytest.fixture
def backends(machine: Machine) -> Iterator[tuple[Upstream, ...]]:
    """Four quick HTTP servers that answer with their own port."""
    ports = [free_port() for _ in range(4)]
    servers = "\n".join(f'server {{ listen 127.0.0.1:{p}; location / {{ return 200 "{p}"; }} }}' for p in ports)
    file = machine.base / "backend.conf"
    file.write_text(BACKEND.format(base=machine.base, servers=servers))
    server = subprocess.Popen(["/usr/sbin/nginx", "-c", str(file)])
    try:
        wait_until("the backends listen", lambda: all(_listens(port) for port in ports))
        yield tuple(Upstream(address="127.0.0.1", port=port) for port in ports)
    finally:
        server.terminate()
        server.wait(10)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Backend:
    """A server whose answers the test decides: each connection goes to `serve(stream)` in a thread."""

    serve: Callable[[socket.socket, bytes], None]
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Backend:
        backend = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = self.request.recv(65536)
                    if not piece:
                        return
                    head += piece
                backend.requests.append(head)
                backend.serve(self.request, head)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.upstream = Upstream(address="127.0.0.1", port=self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(stream: socket.socket, head: bytes) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def nobody() -> Upstream:
    return Upstream(address="127.0.0.1", port=free_port())


def test_first_apply_starts_nginx_and_serves(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    assert machine.proxy.apply(machine.vhost(), {"5000": backends[:1]}) is True
    assert machine.get() == (200, str(backends[0].port))
    assert machine.get(host="unknown.example") == (0, "")


def test_change_of_upstreams_needs_no_reload(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    workers = machine.workers()
    assert machine.proxy.apply(machine.vhost(), {"5000": backends[1:]}) is False
    answers = {machine.get()[1] for _ in range(20)}
    assert answers == {str(upstream.port) for upstream in backends[1:]}
    assert machine.workers() == workers


def test_fifty_switches_under_load_lose_no_request(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:2]})
    load = subprocess.Popen(
        ["wrk", "-t1", "-c32", "-d120s", "-H", "Host: shop.localhost", f"http://127.0.0.1:{machine.port}/"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for turn in range(50):
        machine.proxy.set_upstreams("shop", {"5000": backends[:2] if turn % 2 else backends[2:]})
        time.sleep(0.05)
    assert load.poll() is None, "the load ended before the switches"
    load.send_signal(signal.SIGINT)  # it ends and reports
    report, _ = load.communicate()
    assert int(re.search(r"(\d+) requests in", report)[1]) > 1000, report  # type: ignore[index]
    assert "Non-2xx" not in report, report
    assert "Socket errors" not in report, report
    wait_until("no request is counted any more", lambda: not any(machine.proxy.in_flight("shop", u) for u in backends))


def test_removed_upstream_gets_no_request_over_its_idle_connections(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    connection = http.client.HTTPConnection("127.0.0.1", machine.port)
    answers = []
    for upstream in (backends[0], backends[1], backends[0], backends[2]):
        machine.proxy.set_upstreams("shop", {"5000": [upstream]})
        connection.request("GET", "/", headers={"Host": "shop.localhost"})
        answers.append(connection.getresponse().read().decode())
    connection.close()
    assert answers == [str(backends[i].port) for i in (0, 1, 0, 2)]


def test_in_flight_counts_slow_requests_through_a_reload(machine: Machine) -> None:
    release = threading.Event()

    def serve(stream: socket.socket, head: bytes) -> None:
        release.wait(20)
        answer(stream, head)

    with Backend(serve) as slow:
        machine.proxy.apply(machine.vhost(), {"5000": [slow.upstream]})
        threads = [threading.Thread(target=machine.get) for _ in range(7)]
        for thread in threads:
            thread.start()
        wait_until("all requests are in flight", lambda: machine.proxy.in_flight("shop", slow.upstream) == 7)
        machine.proxy.apply(machine.vhost(client_max_body_size="2m"), {"5000": [slow.upstream]})
        assert machine.proxy.in_flight("shop", slow.upstream) == 7
        machine.proxy.set_upstreams("shop", {"5000": []})
        assert machine.get()[0] == 502
        assert machine.proxy.in_flight("shop", slow.upstream) == 7
        release.set()
        for thread in threads:
            thread.join()
        wait_until("none is in flight", lambda: machine.proxy.in_flight("shop", slow.upstream) == 0)


def test_requests_of_a_killed_worker_are_not_in_flight(machine: Machine) -> None:
    release = threading.Event()
    with Backend(lambda stream, head: release.wait(20)) as slow:
        machine.proxy.apply(machine.vhost(), {"5000": [slow.upstream]})
        threads = [threading.Thread(target=machine.get) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until("all requests are in flight", lambda: machine.proxy.in_flight("shop", slow.upstream) == 6)
        for worker in machine.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until("none is in flight", lambda: machine.proxy.in_flight("shop", slow.upstream) == 0)
        release.set()
        for thread in threads:
            thread.join()


def test_request_goes_to_another_container_when_one_refuses(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    gone = nobody()
    machine.proxy.apply(machine.vhost(), {"5000": [gone, backends[0], nobody()]})
    assert {machine.get(method=method, body="x")[0] for method in ("GET", "POST") for _ in range(10)} == {200}
    wait_until("none is in flight", lambda: not any(machine.proxy.in_flight("shop", u) for u in (gone, backends[0])))


def test_request_with_effects_is_never_sent_twice(machine: Machine) -> None:
    def hang_up(stream: socket.socket, head: bytes) -> None:
        pass

    with Backend(hang_up) as first, Backend(hang_up) as second:
        machine.proxy.apply(machine.vhost(), {"5000": [first.upstream, second.upstream]})
        assert machine.get(method="POST", body="x")[0] == 502
        assert len(first.requests) + len(second.requests) == 1
        both = (first.upstream, second.upstream)
        wait_until("none is in flight", lambda: not any(machine.proxy.in_flight("shop", upstream) for upstream in both))


def test_without_upstreams_the_error_page_answers_and_tries_again(machine: Machine) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": []})
    status, text = machine.get()
    assert status == 502
    assert '<meta http-equiv="refresh"' in text


def test_a_backend_where_nothing_should_run_says_so(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    for method in ("GET", "POST", "HEAD"):
        machine.proxy.apply(machine.vhost(), {})
        status, text = machine.get(method=method)
        assert status == 503
        assert ("Switched off" in text) == (method != "HEAD")
        machine.proxy.set_upstreams("shop", {"5000": backends[:1]})
        assert machine.get(method=method)[0] == 200


def test_process_types_answer_at_their_names_ports_and_paths(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    shop, other_port = machine.vhost(), free_port()
    vhost = replace(
        shop,
        ports=(
            *shop.ports, PortMap(scheme="http", host=machine.port, container=5000, process="web-admin"),
            PortMap(scheme="http", host=other_port, container=9000, process="api"),
        ),
        own_domains=(("web-admin", ("admin.shop.localhost",)),),
        paths=(PathRoute(path="/api", backend=Route(process="api", port=9000)),),
    )  # fmt: skip
    web, admin, api, _ = backends
    machine.proxy.apply(vhost, {"5000": [web], "web-admin:5000": [admin], "api:9000": [api]})
    assert machine.get() == (200, str(web.port))
    assert machine.get(host="admin.shop.localhost") == (200, str(admin.port))
    assert machine.get("/api") == machine.get("/api/v1") == (200, str(api.port))
    assert machine.get("/apis") == (200, str(web.port))
    machine.port = other_port
    assert machine.get() == (200, str(api.port))


def test_a_path_can_be_hidden_from_the_process(machine: Machine) -> None:
    def echo(stream: socket.socket, head: bytes) -> None:
        said = head.split()[1]
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))

    with Backend(echo) as api:
        for strips, seen in ((True, ("/", "/v1?a=b")), (False, ("/api", "/api/v1?a=b"))):
            path = PathRoute(path="/api", backend=Route(process="api", port=9000), strips_prefix=strips)
            machine.proxy.apply(replace(machine.vhost(), paths=(path,)), {"api:9000": [api.upstream]})
            assert (machine.get("/api")[1], machine.get("/api/v1?a=b")[1]) == seen


def test_headers_say_who_asked_for_what(machine: Machine) -> None:
    with Backend(answer) as backend:
        machine.proxy.apply(machine.vhost(), {"5000": [backend.upstream]})
        machine.get("/path?a=b")
    line, *headers = backend.requests[0].decode().split("\r\n")
    found = dict(header.split(": ", 1) for header in headers if header)
    assert line == "GET /path?a=b HTTP/1.1"
    assert re.fullmatch(r"[0-9a-f]{32}", found.pop("X-Request-Id"))
    assert re.fullmatch(r"t=\d+\.\d{3}", found.pop("X-Request-Start"))
    assert found == {
        "Host": "shop.localhost", "X-Real-IP": "127.0.0.1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.localhost",
        "X-Forwarded-Port": str(machine.port), "X-Forwarded-Proto": "http", "Accept-Encoding": "identity",
    }  # fmt: skip


def test_websocket_is_passed_through_and_counted(machine: Machine) -> None:
    def echo(stream: socket.socket, head: bytes) -> None:
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]  # type: ignore[index]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        assert b"Connection: upgrade" in head and b"Upgrade: websocket" in head
        stream.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept + b"\r\n\r\n"
        )  # fmt: skip
        while piece := stream.recv(4096):
            stream.sendall(piece)

    with Backend(echo) as backend:
        machine.proxy.apply(machine.vhost(), {"5000": [backend.upstream]})
        with socket.create_connection(("127.0.0.1", machine.port)) as client:
            client.sendall(
                b"GET /chat HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.recv(4096)
            client.sendall(b"\x81\x85\x00\x00\x00\x00hello")
            assert client.recv(4096) == b"\x81\x85\x00\x00\x00\x00hello"
            assert machine.proxy.in_flight("shop", backend.upstream) == 1
        wait_until("the closed one is not counted", lambda: machine.proxy.in_flight("shop", backend.upstream) == 0)


def test_invalid_property_is_refused_and_the_old_vhost_serves(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    before = machine.proxy.show("shop")
    with pytest.raises(InvalidSetting):
        machine.proxy.apply(machine.vhost(proxy_read_timeout="1s; } server { listen 81"), {"5000": backends[1:2]})
    assert machine.proxy.show("shop") == before
    assert machine.get() == (200, str(backends[0].port))


def test_refused_configuration_comes_back_byte_for_byte(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    files = {file: file.read_bytes() for file in (machine.base / "etc").rglob("*") if file.is_file()}
    workers = machine.workers()
    with pytest.raises(RoutingFailed) as failure:  # nginx wants at least two buffers; no pattern knows all such rules
        machine.proxy.apply(machine.vhost(proxy_buffers="1 4k"), {"5000": backends[1:2]})
    assert "proxy_buffers" in "\n".join(failure.value.output)
    assert {file: file.read_bytes() for file in (machine.base / "etc").rglob("*") if file.is_file()} == files
    assert machine.get() == (200, str(backends[0].port))
    assert machine.workers() == workers, "a refused configuration reloads nothing"


def test_port_of_another_program_is_refused(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    before = machine.proxy.show("shop")
    with socket.create_server(("", 0)) as other:
        taken = other.getsockname()[1]
        vhost = Vhost(app="shop", domains=("shop.localhost",), ports=(PortMap(scheme="http", host=taken, container=5000),))
        with pytest.raises(RoutingFailed, match=f"Port {taken} of this machine is in use"):
            machine.proxy.apply(vhost, {"5000": backends[:1]})
    assert machine.proxy.show("shop") == before
    assert machine.get()[0] == 200


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_routes_are_right_after_nginx_was(how: str, machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    machine.proxy.set_upstreams("shop", {"5000": backends[1:2]})
    if how == "restarted":
        pid = machine.nginx_pid()
        os.kill(pid, signal.SIGTERM)
        wait_until("nginx is gone", lambda: not _is_alive(pid))
    else:
        machine.kill_nginx()
    shutil.rmtree(machine.paths.run, ignore_errors=True)  # as after a reboot
    assert not machine.proxy.is_running()
    machine.start_nginx()
    assert machine.proxy.is_running()
    assert machine.get() == (200, str(backends[1].port))
    wait_until("none is in flight", lambda: machine.proxy.in_flight("shop", backends[1]) == 0)
    assert machine.proxy.apply(machine.vhost(), {"5000": backends[2:3]}) is False
    assert machine.get() == (200, str(backends[2].port))


def test_a_change_gets_through_to_workers_whose_master_was_killed(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {5000: backends[:1]})
    master, orphans = machine.nginx_pid(), machine.workers()
    os.kill(master, signal.SIGKILL)
    wait_until("the master is gone", lambda: not _is_alive(master))
    assert machine.get() == (200, str(backends[0].port))
    assert not machine.proxy.is_running()
    assert machine.proxy.apply(machine.vhost(client_max_body_size="2m"), {5000: backends[1:2]}) is True
    assert machine.proxy.is_running()
    assert machine.get() == (200, str(backends[1].port))
    assert machine.nginx_pid() != master
    wait_until("the orphans have finished", lambda: not any(map(_is_alive, orphans)))


def test_apply_heals_what_a_crash_left_unread(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    text = machine.proxy.show("shop")
    machine.proxy.apply(machine.vhost(client_max_body_size="2m"), {"5000": backends[:1]})
    (machine.base / "etc" / "vhosts" / "shop.conf").write_text(text)  # written, and then the power of the program went
    (machine.base / "etc" / "generation").write_text('set $paas_generation "0";\n')
    assert machine.proxy.apply(machine.vhost(), {"5000": backends[:1]}) is True


def test_two_processes_may_apply_at_once(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    failures: list[BaseException] = []

    def apply(app: str) -> None:
        try:
            NginxProxy(paths=machine.paths, settings=machine.settings).apply(machine.vhost(app), {"5000": backends[:1]})
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=apply, args=(f"app{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {machine.get(host=f"app{n}.localhost")[0] for n in range(6)} == {200}


def test_remove_stops_serving_and_may_be_repeated(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    machine.proxy.apply(machine.vhost("blog"), {"5000": backends[1:2]})
    machine.proxy.remove("shop")
    machine.proxy.remove("shop")
    assert machine.get() == (0, "")
    assert machine.get(host="blog.localhost") == (200, str(backends[1].port))
    with pytest.raises(NotFound):
        machine.proxy.show("shop")


def test_change_of_container_port_loses_no_request(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    statuses: set[int] = set()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            statuses.add(machine.get()[0])

    thread = threading.Thread(target=ask)
    thread.start()
    for turn in range(6):
        port = 8000 + turn % 2
        machine.proxy.apply(machine.vhost(container_port=port), {port: backends[turn % 4 : turn % 4 + 1]})
    is_over.set()
    thread.join()
    assert statuses == {200}


def test_sync_serves_exactly_what_is_wanted_and_leaves_out_what_nginx_refuses(
    machine: Machine, backends: tuple[Upstream, ...]
) -> None:
    machine.proxy.apply(machine.vhost("old"), {"5000": backends[:1]})
    machine.kill_nginx()
    said = machine.proxy.sync({
        "shop": (machine.vhost(), {"5000": backends[:1]}),
        "blog": (machine.vhost("blog", proxy_buffers="1 4k"), {"5000": backends[1:2]}),
        "wiki": (machine.vhost("wiki", nonsense="1"), {"5000": backends[2:3]}),
    })  # fmt: skip
    assert machine.get() == (200, str(backends[0].port))
    assert machine.get(host="old.localhost") == (0, "")
    assert sorted(line.partition(":")[0] for line in said if line.startswith("left out")) == ["left out blog", "left out wiki"]
    assert machine.proxy.sync({"shop": (machine.vhost(), {"5000": backends[3:]})}) == ()
    assert machine.get() == (200, str(backends[3].port))


def test_default_server_of_others_stays_theirs(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    (machine.base / "extra.conf").write_text(
        f"server_names_hash_bucket_size 128;\nserver {{ listen {machine.port} default_server; return 200 theirs; }}\n"
    )
    machine.start_nginx()
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    assert machine.get() == (200, str(backends[0].port))
    assert machine.get(host="unknown.example") == (200, "theirs")


def test_nginx_that_does_not_read_our_files_yet_is_told_to(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    main = Path(machine.settings.nginx_main)
    main.write_text(main.read_text().replace(f"include {machine.base}/etc/*.conf", f"include {machine.base}/conf.d/*.conf"))
    with pytest.raises(RoutingFailed, match="nginx does not read .*/etc/paas.conf") as failure:
        machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    assert f"include {machine.base}/etc/*.conf;" in failure.value.remedy
    (machine.base / "conf.d").mkdir()
    machine.start_nginx()
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    assert machine.get() == (200, str(backends[0].port))


def test_error_pages_are_readable_with_a_strict_umask(machine: Machine) -> None:
    before = os.umask(0o077)
    try:
        machine.proxy.apply(machine.vhost(), {"5000": []})
    finally:
        os.umask(before)
    assert "Not available right now" in machine.get()[1]


def test_three_hundred_vhosts_with_long_names(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    name = "a-rather-long-name-of-an-app-that-fills-a-bucket-of-nginx-hash"
    wanted = {f"{name[:50]}{n}": (machine.vhost(f"{name[:50]}{n}"), {"5000": backends[:1]}) for n in range(300)}
    assert len(machine.proxy.sync(wanted)) >= 300
    assert machine.get(host=f"{name[:50]}299.localhost")[0] == 200
    assert machine.proxy.apply(machine.vhost(), {"5000": backends[1:2]}) is True
    assert machine.get() == (200, str(backends[1].port))


def test_only_root_reaches_the_control_socket(machine: Machine, backends: tuple[Upstream, ...]) -> None:
    machine.proxy.apply(machine.vhost(), {"5000": backends[:1]})
    ask = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(machine.paths.proxy_socket)!r})"
    assert subprocess.run([sys.executable, "-c", ask]).returncode == 0
    as_worker = ["setpriv", "--reuid", "www-data", "--clear-groups", "/usr/bin/python3", "-c", ask]
    refused = subprocess.run(as_worker, capture_output=True)
    assert b"PermissionError" in refused.stderr
