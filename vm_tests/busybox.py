"""The root file system of the smallest useful container, for `docker import`."""

import io
import tarfile
from pathlib import Path

_FOLDERS = ("bin", "work", "tmp", "etc", "proc", "sys", "dev")
_APPLETS = ("sh", "sleep", "cat", "true", "false", "dd", "head", "tail", "wc", "id", "ls")
_USERS = b"root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/work:/bin/sh\n"


def archive(busybox: Path) -> bytes:
    """Pack a static busybox, the applets that we use and two users."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in _FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        tar.add(busybox, "bin/busybox")
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(_USERS)
        tar.addfile(passwd, io.BytesIO(_USERS))
    return out.getvalue()
