"""Which BPF programs and maps the kernel holds. A link holds its program: without one, no link."""

import ctypes
import os

from agentcg.kernel import libbpf

# Where the name is in struct bpf_prog_info and struct bpf_map_info.
_NAME_AT = {"prog": 64, "map": 24}


def alive() -> set[tuple[str, int, str]]:
    """Kind, id and name (15 bytes of it) of each."""
    return {one for kind in _NAME_AT for one in _of(kind)}


def _of(kind: str) -> set[tuple[str, int, str]]:
    lib, found = libbpf.lib(), set()
    following = ctypes.c_uint32()
    while getattr(lib, f"bpf_{kind}_get_next_id")(following, ctypes.byref(following)) == 0:
        fd = getattr(lib, f"bpf_{kind}_get_fd_by_id")(following)
        if fd < 0:
            continue  # it went away in between
        raw, size = ctypes.create_string_buffer(_NAME_AT[kind] + 16), ctypes.c_uint32()
        size.value = len(raw)
        libbpf.checked(lib.bpf_obj_get_info_by_fd(fd, raw, ctypes.byref(size)), kind)
        os.close(fd)
        name = raw.raw[_NAME_AT[kind] :].split(b"\0")[0].decode()
        found.add((kind, following.value, name))
    return found
