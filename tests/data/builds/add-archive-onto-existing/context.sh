python3 - <<'EOF'
import io, tarfile
def add(tar, name, kind=tarfile.REGTYPE, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode = kind, len(content), 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))
with tarfile.open("t.tar", "w") as tar:
    add(tar, "data/one", content=b"replaced")
    add(tar, "data/private/", tarfile.DIRTYPE, mode=0o755)
    add(tar, "data/new", content=b"new")
    add(tar, "link/through", content=b"through a link")
    add(tar, "file-link", content=b"no longer a link")
    add(tar, "etc/group/", tarfile.DIRTYPE, mode=0o755)
    add(tar, "data/sub", content=b"a file now")
EOF
