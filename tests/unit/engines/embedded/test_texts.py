"""The pure readers and writers of texts: cgroup mounts, resolv.conf, conmon's command line and answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.engines.embedded.attendants import container_in, program_in
from paas.engines.embedded.cgroups import Hierarchies, favoring_options, own_cgroup, parent_for, parse_hierarchies
from paas.engines.embedded.conmon import Watch, conmon_argv
from paas.engines.embedded.crun import Crun, runtime_message, runtime_problem
from paas.engines.embedded.publishing import check_ports
from paas.engines.embedded.rootfs import hosts_file, resolv_conf, with_servers
from paas.errors import Conflict, InvalidInput, NotInvoked
from paas.model.container import PLATFORM, Container, ContainerStatus, PortMapping, signal_number

PURE = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"
HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /var/lib/other/root/sys/fs/cgroup/memory cgroup ro,memory 0 0
"""


def test_cgroup_trees_are_found_on_pure_and_hybrid_hosts() -> None:
    pure, hybrid = parse_hierarchies(PURE), parse_hierarchies(HYBRID)
    assert pure.is_pure_v2 and pure.roots == (Path("/sys/fs/cgroup"),)
    assert not hybrid.is_pure_v2
    assert hybrid.roots == tuple(Path("/sys/fs/cgroup", n) for n in ("memory", "cpu,cpuacct", "systemd", "unified"))


def test_it_is_known_whether_processes_move_at_once() -> None:
    favored = parse_hierarchies(HYBRID.replace("rw,memory", "rw,memory,favordynmods"))
    assert favored.controllers == parse_hierarchies(HYBRID).controllers
    assert not favored.favors_moves  # the option of a v1 tree is no promise: it can not be changed
    assert parse_hierarchies(PURE.replace("relatime", "relatime,nsdelegate,favordynmods")).favors_moves
    assert not parse_hierarchies(PURE).favors_moves


def test_switching_it_on_keeps_what_the_kernel_knows_of_the_options() -> None:
    mounted = ("rw", "nosuid", "relatime", "nsdelegate", "memory_recursiveprot")
    known = ("nsdelegate", "favordynmods", "memory_localevents", "memory_recursiveprot")
    assert favoring_options(mounted, known) == ("nsdelegate", "memory_recursiveprot", "favordynmods")
    assert favoring_options((), known) == ("favordynmods",)


def test_the_parent_is_the_setting_else_the_delegated_unit_else_our_own(tmp_path: Path) -> None:
    found = Hierarchies(unified=tmp_path)
    assert parent_for("mine/", found) == "/mine"
    assert parent_for("", found) == "/paas"
    (tmp_path / "paas.slice/paas-containers.service").mkdir(parents=True)
    assert parent_for("", found) == "/paas.slice/paas-containers.service"


@pytest.mark.parametrize(
    ("host", "upstream", "expected"),
    [
        ("nameserver 9.9.9.9\nsearch lan\n", "nameserver 1.1.1.1\n", "nameserver 9.9.9.9\nsearch lan\n"),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 1.1.1.1\n", "nameserver 1.1.1.1\n"),
        ("nameserver 127.0.0.53\n", "", "nameserver 127.0.0.53\n"),
        ("nameserver 127.0.0.53\nnameserver 9.9.9.9\n", "nameserver 1.1.1.1\n", "nameserver 127.0.0.53\nnameserver 9.9.9.9\n"),
    ],
)
def test_a_container_asks_the_hosts_real_resolvers(host: str, upstream: str, expected: str) -> None:
    assert resolv_conf(host, upstream) == expected


def test_a_container_knows_its_own_name() -> None:
    assert "10.0.0.5\tshop\n" in hosts_file("shop", "10.0.0.5")
    assert "127.0.1.1\tshop\n" in hosts_file("shop", "")


def test_conmon_is_told_everything_once() -> None:
    watch = Watch(
        container="c1", bundle=Path("/c/c1"), sockets=Path("/run/attach"), last=Path("/c/c1/last"), log_path=Path("/l/log"),
        log_max_bytes=10, has_terminal=True, keeps_stdin=True,
    )  # fmt: skip
    crun = Crun(binary=Path("/usr/bin/crun"), state=Path("/run/crun"))
    assert conmon_argv(Path("/usr/bin/conmon"), Path("/proc/7/fd/9"), crun.global_options, watch) == [
        "/usr/bin/conmon", "--api-version", "1", "--cid", "c1", "--cuuid", "c1", "--name", "c1",
        "--runtime", "/proc/7/fd/9", "--bundle", "/c/c1", "--persist-dir", "/c/c1/last",
        "--container-pidfile", "/c/c1/pid", "--conmon-pidfile", "/c/c1/conmon.pid",
        "--socket-dir-path", "/run/attach", "--log-path", "k8s-file:/l/log", "--log-level", "error", "--no-sync-log",
        "--log-size-max", "10", "--terminal", "--stdin", "--leave-stdin-open",
        "--runtime-arg", "--root", "--runtime-arg", "/run/crun",
        "--runtime-arg", "--cgroup-manager", "--runtime-arg", "cgroupfs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["/usr/bin/conmon", "--cid", "c1"], "conmon"),
        (["/usr/local/bin/crun", "exec"], "crun"),
        (["/proc/17/fd/9", "--root", "/run/crun"], "crun"),
        (["/proc/17/fd/9/crunch"], ""),
        (["/usr/bin/crunch"], ""),
        ([""], ""),
    ],
)
def test_processes_that_work_for_containers_are_known_by_their_first_word(words: list[str], program: str) -> None:
    assert program_in([word.encode() for word in words]) == program


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"level":"error","msg":"no such file"}\n', "no such file"),
        ("container create failed: boom", "container create failed: boom"),
        ('{"msg":"first"}\n{"msg":"last"}\n', "last"),
        ("", ""),
    ],
)
def test_what_the_runtime_says_is_one_sentence(said: str, message: str) -> None:
    assert runtime_message(said) == message


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("executable file `x` not found in $PATH: No such file or directory", 127),
        ("open executable: Permission denied", 126),
        ("chdir `/no`: No such file or directory", 126),
        ('{"level":"error","msg":"exec: \\"x\\": executable file not found in $PATH"}', 127),
        ("open /proc/sys/net/no: No such file or directory", 80),
    ],
)
def test_a_command_that_can_not_be_run_has_a_shells_exit_code(said: str, code: int) -> None:
    found = runtime_problem("x", said)
    assert found is not None and found.exit_code == code and isinstance(found, NotInvoked) is (code != 80)


def test_a_runtime_that_said_nothing_found_no_problem() -> None:
    assert runtime_problem("x", "") is None


def test_the_runtime_of_a_container_on_our_streams_says_in_a_file_what_went_wrong() -> None:
    watch = Watch(container="c1", bundle=Path("/c/c1"), sockets=Path("/s"), last=Path("/c/c1/last"), log_path=None)
    argv = conmon_argv(Path("/usr/bin/conmon"), Path("/usr/bin/runc"), ("--root", "/run/runc"), watch)
    said = argv[argv.index("--runtime-arg") :]
    assert said[1::2] == ["--root", "/run/runc", "--log", "/c/c1/runtime.log", "--log-format", "json"]


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("int", 2), ("9", 9), ("SIGRTMIN+3", 37)])
def test_signals_are_names_or_numbers(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "SIGNONSENSE", "0", "99"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        signal_number(name)


@pytest.mark.parametrize(
    ("address", "protocol", "collides"),
    [("0.0.0.0", "tcp", True), ("127.0.0.1", "tcp", True), ("192.0.2.7", "tcp", False), ("127.0.0.1", "udp", False)],
)
def test_ports_collide_by_number_protocol_and_address(address: str, protocol: str, collides: bool) -> None:
    held = Container(
        id="c1", name="holder", image="", tenant=PLATFORM, argv=(), labels={}, status=ContainerStatus.RUNNING, created_at=0,
        ports=(PortMapping(host_port=1, container_port=80, host_address="127.0.0.1"),),
    )  # fmt: skip
    wanted = PortMapping(host_port=1, container_port=90, host_address=address, protocol=protocol)
    if not collides:
        check_ports([wanted], [held])
        return
    with pytest.raises(Conflict, match="holder"):
        check_ports([wanted], [held])


@pytest.mark.parametrize(
    ("memberships", "path"),
    [
        ("10:hugetlb:/x\n1:name=systemd:/y\n0::/\n", ""),
        ("0::/system.slice/paas.service\n", "system.slice/paas.service"),
        ("1:cpu:/0::/a\n0::/b:c\n", "b:c"),
    ],
)
def test_where_a_process_is_in_the_v2_tree(memberships, path):
    assert own_cgroup(memberships) == path


@pytest.mark.parametrize(
    ("words", "container"),
    [
        ([b"/usr/bin/conmon", b"--bundle", b"/lib/c/abc", b"--persist-dir", b"/lib/c/abc/last"], "abc"),
        ([b"crun", b"create", b"--pid-file", b"/lib/c/abc/pid", b"abc"], "abc"),
        ([b"crun", b"create", b"--bundle", b"/lib/others/abc"], ""),
        ([b""], ""),
    ],
)
def test_the_container_that_a_process_works_for_stands_on_its_command_line(words, container):
    assert container_in(words, Path("/lib/c")) == container


def test_name_servers_and_domains_replace_those_of_the_machine() -> None:
    host = "domain corp\nsearch a b\noptions ndots:2\nnameserver 10.0.0.1\n"
    assert with_servers(host, (), ()) == host
    assert with_servers(host, ("1.1.1.1", "::1"), ()) == (
        "domain corp\nsearch a b\noptions ndots:2\nnameserver 1.1.1.1\nnameserver ::1\n"
    )
    assert with_servers(host, (), ("c", "d")) == "options ndots:2\nnameserver 10.0.0.1\nsearch c d\n"
    assert with_servers(host, (), (".",)) == "options ndots:2\nnameserver 10.0.0.1\n"
