python3 - <<'EOF'
import os
os.setxattr("t/f", "user.note", b"kept?")
os.setxattr("t/f", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
EOF
