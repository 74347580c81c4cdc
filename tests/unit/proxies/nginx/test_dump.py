"""Reading `nginx -T`."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.proxies.nginx.dump import canonical_listen, parse_dump

DUMP = """\
# configuration file /etc/nginx/nginx.conf:
pid /run/other.pid;
http {
    # server_names_hash_bucket_size 64;
    include /etc/nginx/conf.d/*.conf;
}

# configuration file /etc/nginx/sites-enabled/default:
server {
    listen 80 default_server;
    listen [::]:80 default_server ipv6only=on;
    #listen 81 default_server;
}
server { listen 127.0.0.1:8080; listen *:8081 default; }

# configuration file /etc/nginx/paas/default.conf:
server { listen 9000 default_server; }
"""


def test_files_are_told_apart() -> None:
    dump = parse_dump(DUMP)
    assert list(dump.files) == ["/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/default", "/etc/nginx/paas/default.conf"]
    assert dump.reads(Path("/etc/nginx/paas/default.conf"))
    assert not dump.reads(Path("/etc/nginx/paas/paas.conf"))


def test_default_servers_of_others_are_found_and_comments_are_not() -> None:
    others = parse_dump(DUMP).others(Path("/etc/nginx/paas"))
    assert others.default_listens() == {"80", "[::]:80", "8081"}
    assert parse_dump(DUMP).listens() == {"80", "[::]:80", "8081", "127.0.0.1:8080", "9000"}


def test_directives_count_only_outside_of_comments() -> None:
    assert not parse_dump(DUMP).sets("server_names_hash_bucket_size")
    text = "# configuration file /a:\nhttp { server_names_hash_bucket_size 128; }\n"
    assert parse_dump(text).sets("server_names_hash_bucket_size")
    assert parse_dump(DUMP).value("pid") == "/run/other.pid"
    assert parse_dump(text).value("pid") == ""


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("80", "80"), ("*:80", "80"), ("0.0.0.0:80", "80"), ("*", "80"), ("[::]:80", "[::]:80"), ("[::1]", "[::1]:80"),
        ("10.0.0.1", "10.0.0.1:80"), ("10.0.0.1:8080", "10.0.0.1:8080"), ("localhost:80", "localhost:80"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ],
)  # fmt: skip
def test_ways_to_write_an_address(written: str, canonical: str) -> None:
    assert canonical_listen(written) == canonical
