python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w") as tar:
    add(tar, "d/", tarfile.DIRTYPE, mode=0o755, uid=5, gid=6)
    add(tar, "d/f", content=b"f", uid=7, gid=8)
    add(tar, "implied/g", content=b"g", uid=7, gid=8)
    add(tar, "d/link", tarfile.SYMTYPE, linkname="f")
EOF
