python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w") as tar:
    add(tar, "data/", tarfile.DIRTYPE, mode=0o700, mtime=981173106)
    add(tar, "data/new", content=b"gone again", mtime=981173106)
    add(tar, "data", content=b"a file now", mtime=1012345678)
    add(tar, "etc/passwd", tarfile.SYMTYPE, linkname="group")
    add(tar, "etc/passwd", content=b"a file again")
    add(tar, "home", content=b"a file first")
    add(tar, "home/", tarfile.DIRTYPE, mode=0o755)
EOF
