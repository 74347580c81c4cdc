python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
for name, mode in (("plain.tar", "w"), ("gz.tar.gz", "w:gz"), ("bz2.tar.bz2", "w:bz2"), ("xz.tar.xz", "w:xz"), ("unnamed", "w:gz")):
    with tarfile.open(name, mode) as tar:
        add(tar, "f", content=name.encode())
EOF
