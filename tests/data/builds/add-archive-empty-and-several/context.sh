python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
tarfile.open("empty.tar", "w").close()
for name in ("one", "two"):
    with tarfile.open(name + ".tgz", "w:gz") as tar:
        add(tar, name, content=name.encode())
EOF
