"""ADD from a URL: download to a file, check the digest."""

from __future__ import annotations

import email.utils
import hashlib
import ipaddress
import os
import posixpath
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

from paas.builders.dockerfile.copy import CopyError

_CHUNK = 1 << 20
_TIMEOUT_S = 60
_AGENT = "paas"


def is_url(source: str) -> bool:
    """Say whether an ADD source is to be downloaded."""
    return source.startswith(("http://", "https://"))


def is_git(source: str) -> bool:
    """Say whether an ADD source is a git repository, which is not fetched."""
    return source.startswith(("git@", "git://", "ssh://")) or (is_url(source) and source.partition("#")[0].endswith(".git"))


def url_name(url: str) -> str:
    """Return the file name that a URL gives, '' when it gives none."""
    return posixpath.basename(unquote(urlsplit(url).path))


def download(url: str, target: Path, *, checksum: str = "") -> str:
    """Download into `target`, permissions 0600 and the server's date as Docker does; return its sha256. Raises CopyError."""
    from urllib import request  # heavy, and few Dockerfiles need it

    class Redirects(request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            _refuse_own_host(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    _refuse_own_host(url)
    hasher = hashlib.sha256()
    asked = request.Request(url, headers={"User-Agent": _AGENT})
    try:
        with request.build_opener(Redirects).open(asked, timeout=_TIMEOUT_S) as answer, target.open("wb") as sink:
            while chunk := answer.read(_CHUNK):
                hasher.update(chunk)
                sink.write(chunk)
            modified = answer.headers["Last-Modified"]
    except OSError as exc:  # URLError and time-outs are kinds of it
        raise CopyError(f"could not download {url}: {getattr(exc, 'reason', exc)}") from exc
    target.chmod(0o600)
    if modified:
        os.utime(target, (email.utils.parsedate_to_datetime(modified).timestamp(),) * 2)
    check_digest(url, f"sha256:{hasher.hexdigest()}", checksum)
    return hasher.hexdigest()


def check_digest(url: str, found: str, wanted: str) -> None:
    """Raise CopyError unless the digest is the wanted one; none wanted is fine."""
    if wanted and found != wanted:
        raise CopyError(f"digest mismatch for {url}: {found} instead of {wanted}")


def _refuse_own_host(url: str) -> None:
    """Raise CopyError for an address that only this machine can reach: the download is made by it, not by the app."""
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return  # a proxy may know the name
    for *_, address in found:
        parsed = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified:
            raise CopyError(f"{url} is on this machine itself, which a build may not ask")
