python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w") as tar:
    add(tar, "f", content=b"first")
    add(tar, "f", content=b"second", mode=0o600)
    add(tar, "g", content=b"a file first")
    add(tar, "g", tarfile.SYMTYPE, linkname="f")
EOF
