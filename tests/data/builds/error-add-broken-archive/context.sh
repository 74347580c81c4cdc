python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("whole.tar.gz", "w:gz") as tar:
    add(tar, "f", content=bytes(range(256)) * 4000)
EOF
head -c 2000 whole.tar.gz > broken.tar.gz
rm whole.tar.gz
