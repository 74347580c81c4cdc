python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w") as tar:
    add(tar, "d/", tarfile.DIRTYPE, mode=0o1750, uid=5, gid=6, mtime=981173106)
    add(tar, "d/f", content=b"f", mode=0o4711, uid=7, gid=8, mtime=981173106)
    add(tar, "d/implied/g", content=b"g", mtime=981173106)
    add(tar, "d/link", tarfile.SYMTYPE, linkname="f", mode=0o777, uid=9, gid=9, mtime=981173106)
    add(tar, "d/hard", tarfile.LNKTYPE, linkname="d/f", mode=0o4711, uid=7, gid=8, mtime=981173106)
    add(tar, "d/pipe", tarfile.FIFOTYPE, mode=0o600, mtime=981173106)
    add(tar, "dot/./x", content=b"x")
    add(tar, "./y", content=b"y")
EOF
