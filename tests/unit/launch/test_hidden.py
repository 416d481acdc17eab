"""Which sockets are hidden, and by which paths they could be reached."""

from __future__ import annotations

import pytest

from kaizen_security.collectors.kernel import linux
from kaizen_security.launch.hidden import listeners, spellings

TABLE = """Num       RefCount Protocol Flags    Type St Inode Path
ffff: 00000002 00000000 00010000 0001 01 2001 /run/docker.sock
ffff: 00000002 00000000 00000000 0002 01 2002 /run/with blank/log
ffff: 00000003 00000000 00000000 0001 03 2003 /run/docker.sock.client
ffff: 00000002 00000000 00010000 0005 01 2004 /run/packets
ffff: 00000002 00000000 00010000 0001 01 2005 @abstract
ffff: 00000003 00000000 00000000 0001 03 2006
"""
MOUNTS = (
    "22 1 254:0 / / rw - ext4 /dev/root rw\n"
    "24 22 0:22 / /run rw,nosuid - tmpfs none rw\n"
    "25 22 0:22 /inner /var/with\\040blank rw - tmpfs none rw\n"
    "26 22 0:22 / /srv rw - tmpfs none rw\n"
    "27 22 254:0 /opt /opt2 rw - ext4 /dev/root rw\n"
)


def test_who_listens_and_who_takes_datagrams_is_a_service():
    assert list(listeners(TABLE)) == ["/run/docker.sock", "/run/with blank/log", "/run/packets"]


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("/run/docker.sock", ["/srv/docker.sock"]),
        ("/run/inner/a.sock", ["/var/with blank/a.sock", "/srv/inner/a.sock"]),
        ("/var/with blank/a.sock", ["/run/inner/a.sock", "/srv/inner/a.sock"]),
        ("/run/innermost.sock", ["/srv/innermost.sock"]),
        ("/opt/a.sock", ["/opt2/a.sock"]),
        ("/opt2/deep/a.sock", ["/opt/deep/a.sock"]),
        ("/tmp/a.sock", []),
    ],
)
def test_every_mount_of_its_filesystem_gives_a_socket_another_path(path: str, others: list[str]):
    assert list(spellings(path, list(linux.mounts(MOUNTS)))) == others
