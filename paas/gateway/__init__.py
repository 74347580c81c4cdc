"""The SSH front: an unprivileged process that knows keys and passes commands on; the only user of paramiko."""

import sys

# For `Match exec` in a client's configuration, which nobody reads here, paramiko would import it if it could, and with it
# asyncio, unittest and a YAML parser: 5 MB of memory and a third of the time that its import takes.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
