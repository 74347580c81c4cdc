python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("z.tar", "w") as tar:
    add(tar, "f", content=b"zstd")
EOF
zstd -q --rm z.tar
