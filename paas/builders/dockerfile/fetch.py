"""ADD from elsewhere: a URL is downloaded to a file, a git repository checked out. Addresses of this machine are refused."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import ipaddress
import os
import posixpath
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from paas.builders.dockerfile.copy import CopyError, Source, parse_mode
from paas.builders.dockerfile.gitsource import check_commit, fetch_commit, find_commit, parse_git_source
from paas.builders.dockerfile.instructions import Copy
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.builders.dockerfile.validators import Validator, Validators
from paas.host.files import disk_problem, require_space

_CHUNK = 1 << 20
#: A server may send without end; the disk is looked at each time that so much has come.
_LOOK_BYTES = 64 << 20
_SPARE_BYTES = 256 << 20
_TIMEOUT_S = 60
_AGENT = "paas"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def is_url(source: str) -> bool:
    """Say whether an ADD source is to be downloaded."""
    return source.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A source of ADD that is elsewhere: `identity` changes with its content, `fetch` brings it here. Raises CopyError."""

    identity: str
    fetch: Callable[[], Source]


def find_remote(
    copy: Copy, source: str, new_directory: Callable[[], Path], *, validators: Validators, agent: Callable[[], Path | None]
) -> Remote | None:
    """Return what is elsewhere by the name `source`, None when it is a path of the context. Raises CopyError."""
    repository = parse_git_source(source)
    if repository is None and not is_url(source):
        return None
    if not copy.is_add:
        raise CopyError(f"source can't be {'a URL' if repository is None else 'a git ref'} for COPY")
    if repository is None:
        return _find_download(copy, source, new_directory, validators)
    if repository.checksum and copy.checksum not in ("", repository.checksum):
        raise CopyError(f'checksum mismatch "{copy.checksum}" != "{repository.checksum}"')
    repository = replace(
        repository, checksum=repository.checksum or copy.checksum,
        keeps_git_dir=repository.keeps_git_dir or copy.keeps_git_dir,
    )  # fmt: skip
    _refuse_own_host(source, repository.host)
    scratch = new_directory()
    commit = find_commit(repository, scratch, agent=agent())
    check_commit(repository, commit)

    def fetch() -> Source:
        tree = LayeredTree([fetch_commit(repository, commit, scratch, agent=agent())])
        top = tree.find(repository.subdir or "/")
        if top is None or not top.is_directory:
            raise CopyError(f"subdir {repository.subdir} does not exist in {repository.url}")
        return Source(tree=tree, entry=top, is_remote=True)

    return Remote(identity=f"git {commit} {repository.subdir} {repository.keeps_git_dir}", fetch=fetch)


def check_copy(copy: Copy) -> None:
    """Raise CopyError for flags that have no meaning, or none together."""
    parse_mode(copy.chmod or "0", 0)
    if copy.is_linked and not all(part.isdecimal() for part in copy.chown.split(":") if part):
        raise CopyError(f"--chown={copy.chown}: user and group names can't be resolved when used with --link, use numeric "
                        "uid[:gid] instead")
    if not copy.checksum:
        return
    if len(copy.sources) != 1:
        raise CopyError("checksum can't be specified for multiple sources")
    if not is_url(copy.sources[0]) and parse_git_source(copy.sources[0]) is None:
        raise CopyError("checksum requires HTTP(S) or Git sources")


def _find_download(copy: Copy, url: str, new_directory: Callable[[], Path], validators: Validators) -> Remote:
    name = url_name(url)
    if not name and copy.destination.endswith("/"):
        raise CopyError(f"cannot determine filename for source {url}")
    if copy.checksum and not _DIGEST.match(copy.checksum):
        raise CopyError(f"invalid checksum digest format: {copy.checksum}")
    file = new_directory() / "content"

    def fetched() -> Source:
        entry = Entry(name or "content", str(file), file.lstat())
        return Source(tree=LayeredTree([file.parent]), entry=entry, is_remote=True)

    def fetch(checksum: str) -> Source:
        try:
            download(url, file, checksum=checksum)
        except CopyError:
            validators.forget(url)  # it may have said that nothing changed where something did
            raise
        return fetched()

    if copy.checksum:
        return Remote(identity=f"{name} {copy.checksum}", fetch=partial(fetch, copy.checksum))
    known = validators.find(url)
    found = download(url, file, known=known)
    if found is known:
        digest = f"sha256:{found.digest}"
        return Remote(identity=f"{name} {digest}", fetch=partial(fetch, digest))
    validators.keep(url, found)
    return Remote(identity=f"{name} sha256:{found.digest}", fetch=fetched)


def url_name(url: str) -> str:
    """Return the file name that a URL gives, '' when it gives none."""
    return posixpath.basename(unquote(urlsplit(url).path))


def download(url: str, target: Path, *, checksum: str = "", known: Validator | None = None) -> Validator:
    """Download into `target`, permissions 0600 and the server's date as Docker does; return its digest. Raises CopyError.

    `known` itself is returned, and nothing written, when the server says that the file is still that one.
    """
    from urllib import request  # heavy, and few Dockerfiles need it

    class Redirects(request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            _refuse_own_host(newurl, urlsplit(newurl).hostname or "")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    _refuse_own_host(url, urlsplit(url).hostname or "")
    hasher = hashlib.sha256()
    asked = request.Request(url, headers={"User-Agent": _AGENT, **(known.headers() if known else {})})
    try:
        with request.build_opener(Redirects).open(asked, timeout=_TIMEOUT_S) as answer, target.open("wb") as sink:
            require_space(target.parent, int(answer.headers["Content-Length"] or 0) + _SPARE_BYTES)
            while chunk := answer.read(_CHUNK):
                if sink.tell() % _LOOK_BYTES < _CHUNK:
                    require_space(target.parent, _SPARE_BYTES)
                hasher.update(chunk)
                _write(sink, chunk, target)
            headers = answer.headers
    except OSError as exc:  # URLError and time-outs are kinds of it
        if known and getattr(exc, "code", 0) == HTTPStatus.NOT_MODIFIED:
            return known
        raise CopyError(f"could not download {url}: {getattr(exc, 'reason', exc)}") from exc
    found = Validator(digest=hasher.hexdigest(), etag=headers["ETag"] or "", modified=headers["Last-Modified"] or "")
    target.chmod(0o600)
    if found.modified:
        with contextlib.suppress(ValueError, OverflowError):  # a date that is none
            os.utime(target, (email.utils.parsedate_to_datetime(found.modified).timestamp(),) * 2)
    check_digest(url, f"sha256:{found.digest}", checksum)
    return found


def check_digest(url: str, found: str, wanted: str) -> None:
    """Raise CopyError unless the digest is the wanted one; none wanted is fine."""
    if wanted and found != wanted:
        raise CopyError(f"digest mismatch for {url}: {found} instead of {wanted}")


def _write(sink: IO[bytes], chunk: bytes, target: Path) -> None:
    try:
        sink.write(chunk)
    except OSError as exc:
        raise disk_problem(exc, target) from exc


def _refuse_own_host(url: str, host: str) -> None:
    """Raise CopyError for an address that only this machine can reach: it is asked by the machine, not by the app."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return  # a proxy may know the name
    for *_, address in found:
        parsed = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified:
            raise CopyError(f"{url} is on this machine itself, which a build may not ask")
