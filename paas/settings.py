"""What the administrator may set in /etc/paas/paas.toml. One frozen object; the fields are the documentation.

Unknown keys are an error that names the nearest one. `-` and `_` are the same in a key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paas.errors import InvalidSetting


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every key of paas.toml with its default. `doc` in the metadata is its one-line explanation."""

    # fmt: off
    domain: str = _setting("localhost", "apps answer at <app>.<domain> until domains:set-global says otherwise")
    user: str = _setting("paas", "system user of the SSH gateway and of the git repositories")
    ssh_port: int = _setting(2222, "port of the embedded SSH gateway; 0 turns it off")
    ssh_address: str = _setting("", "address of the gateway; empty means all")
    ssh_max_connections: int = _setting(100, "SSH connections held at once")
    ssh_attempts_per_minute: int = _setting(60, "connections one address may open in a minute without logging in")
    autocreate_apps: bool = _setting(True, "create an app on its first push")
    http_port: int = _setting(80, "port of http vhosts")
    https_port: int = _setting(443, "port of https vhosts")
    nginx_binary: str = _setting("/usr/sbin/nginx", "the proxy's program")
    nginx_main: str = _setting("/etc/nginx/nginx.conf", "nginx's own configuration file, for nginx -t")
    nginx_dir: str = _setting("/etc/nginx/paas", "where vhosts are written; included from the http block")
    nginx_log_dir: str = _setting("/var/log/nginx", "where the vhosts' access and error logs go; rotated with nginx's own")
    network_pool: str = _setting("10.208.0.0/12", "addresses for app networks, a /24 for each app")
    network_prefix: str = _setting("paas", "how our bridges, veths and nft tables are named; at most 4 letters")
    uid_start: int = _setting(1_879_048_192, "first host uid for containers; 65,536 for each app")
    cgroup_parent: str = _setting("", "cgroup of all containers; empty means /paas, or the delegated unit's under systemd")
    cgroup_favordynmods: bool = _setting(True, "mount cgroup v2 with favordynmods, so that starts and execs need not wait")
    stack: str = _setting("debian-12", "base image of buildpack builds")
    memory_mb: int = _setting(0, "default memory limit of an app container in MiB; 0 means none")
    pids: int = _setting(4096, "processes and threads one container may have")
    build_memory_mb: int = _setting(0, "memory limit of a build in MiB; 0 means three quarters of the machine")
    build_cpu_millis: int = _setting(0, "cpu limit of a build, 1000 is one core; 0 means all cores but a tenth")
    build_timeout_s: int = _setting(3600, "a build is stopped after so many seconds")
    build_cache_mb: int = _setting(10_240, "steps of builds that no image needs are kept up to so many MiB, the last used first")
    build_inherit_host_config: bool = _setting(True, "builds use the host's package manager settings and CA bundle")
    task_timeout_s: int = _setting(3600, "a predeploy, release or postdeploy task is stopped after so many seconds")
    stop_timeout_s: int = _setting(30, "seconds between SIGTERM and SIGKILL")
    wait_to_retire_s: int = _setting(60, "longest time requests in flight may keep an old container after the switch")
    check_timeout_s: int = _setting(60, "seconds a web process has to listen before the deploy fails")
    worker_grace_s: float = _setting(0.5, "seconds a process without a port must stay up to count as started")
    log_max_mb: int = _setting(10, "size at which a container's log is begun anew; the one before is kept")
    log_keep: int = _setting(10, "log files kept for each process")
    cron_keep: int = _setting(30, "runs kept of each scheduled task, with their output")
    image_max_mb: int = _setting(32_768, "an image from elsewhere may unpack to so many MiB")
    image_max_files: int = _setting(2_000_000, "an image from elsewhere may unpack to so many files")
    registry_stall_s: int = _setting(60, "a pull or push that moves no data for so many seconds is given up")
    registry_timeout_s: int = _setting(3600, "a pull or push is given up after so many seconds")
    config_key_file: str = _setting("", "file with the key that encrypts config vars at rest; empty: they are not encrypted")
    releases_keep: int = _setting(10, "releases whose images are kept for rollback, for each app")
    # fmt: on


def load_settings(file: Path) -> Settings:
    """Read paas.toml; a missing file means the defaults. Raises InvalidSetting."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        return Settings()
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InvalidSetting(f"{file} is not valid TOML: {exc}", remedy=f"edit {file}") from exc
    return parse_settings(table, source=str(file))


def parse_settings(table: Mapping[str, object], *, source: str = "paas.toml") -> Settings:
    """Check names and types of a settings table. Pure. Raises InvalidSetting."""
    known = {f.name: f for f in fields(Settings)}
    values: dict[str, object] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0].replace('_', '-')}?" if near else "see docs/settings.md for the keys"
            raise InvalidSetting(f"{source}: unknown setting '{key}'", remedy=hint)
        values[name] = _checked(source, key, value, type(known[name].default))
    return Settings(**values)  # type: ignore[arg-type]


def _checked(source: str, key: str, value: object, wanted: type) -> object:
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise InvalidSetting(f"{source}: {key} must be {wanted.__name__}, not {type(value).__name__}: {value!r}")
    return value
