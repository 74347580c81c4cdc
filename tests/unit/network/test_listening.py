from __future__ import annotations

from paas.network.listening import listening_inodes

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
"""


def test_only_listening_sockets_on_the_port_count() -> None:
    assert listening_inodes(TABLE, 8080, "0A") == {"4711"}
    assert listening_inodes(TABLE, 80, "0A") == {"4713"}
    assert listening_inodes(TABLE, 443, "0A") == set()
