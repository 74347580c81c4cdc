python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w", format=tarfile.PAX_FORMAT) as tar:
    add(tar, "f", content=b"f", pax_headers={"SCHILY.xattr.user.note": "hello"})
    add(tar, "caps", content=b"c", pax_headers={"SCHILY.xattr.security.capability": bytes.fromhex("0100000200200000000000000000000000000000").decode("latin1")})
EOF
