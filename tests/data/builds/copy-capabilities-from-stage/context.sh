python3 - <<'EOF'
import io, tarfile
with tarfile.open("caps.tar", "w", format=tarfile.PAX_FORMAT) as tar:
    member = tarfile.TarInfo("ping")
    member.size, member.mode = 1, 0o755
    member.pax_headers = {"SCHILY.xattr.security.capability": bytes.fromhex("0100000200200000000000000000000000000000").decode("latin1")}
    tar.addfile(member, io.BytesIO(b"x"))
EOF
