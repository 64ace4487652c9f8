"""libbpf.so.1 by ctypes: the functions that are used, with their signatures, and what it prints.

Of libbpf 1.x: an int below zero is an errno, a null pointer leaves it in errno.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentcg.errors import BpfError, UnsupportedError

_PTR, _INT, _STR = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_U32, _U64, _SIZE = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t
_BOOL = ctypes.c_bool

# int (*)(void *ctx, void *data, size_t size), for ring_buffer__new
SAMPLE = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _SIZE)
# int (*)(enum libbpf_print_level, const char *format, va_list). On the architectures that matter
# a va_list argument is passed as a pointer.
_PRINT = ctypes.CFUNCTYPE(_INT, _INT, _STR, _PTR)
_INFO = 1  # LIBBPF_INFO; LIBBPF_WARN is less, LIBBPF_DEBUG more

# Name: result, arguments. Undeclared, ctypes would cut pointers to 32 bits.
_SIGNATURES: dict[str, tuple[object, ...]] = {
    "libbpf_version_string": (_STR,),
    "libbpf_set_print": (_PTR, _PRINT),
    "libbpf_num_possible_cpus": (_INT,),
    "bpf_object__open_file": (_PTR, _STR, _PTR),
    "bpf_object__load": (_INT, _PTR),
    "bpf_object__close": (None, _PTR),
    "bpf_object__btf": (_PTR, _PTR),
    "bpf_object__next_program": (_PTR, _PTR, _PTR),
    "bpf_object__next_map": (_PTR, _PTR, _PTR),
    "bpf_object__find_map_by_name": (_PTR, _PTR, _STR),
    "bpf_program__name": (_STR, _PTR),
    "bpf_program__set_autoload": (_INT, _PTR, _BOOL),
    "bpf_program__attach": (_PTR, _PTR),
    "bpf_program__attach_cgroup": (_PTR, _PTR, _INT),
    "bpf_program__attach_uprobe": (_PTR, _PTR, _BOOL, _INT, _STR, _SIZE),
    "bpf_program__fd": (_INT, _PTR),
    "bpf_prog_test_run_opts": (_INT, _INT, _PTR),
    "bpf_map__name": (_STR, _PTR),
    "bpf_map__fd": (_INT, _PTR),
    "bpf_map__initial_value": (_PTR, _PTR, ctypes.POINTER(_SIZE)),
    "bpf_map__set_max_entries": (_INT, _PTR, _U32),
    "bpf_map__reuse_fd": (_INT, _PTR, _INT),
    "bpf_map__set_pin_path": (_INT, _PTR, _STR),
    "bpf_map__attach_struct_ops": (_PTR, _PTR),
    "bpf_link__fd": (_INT, _PTR),
    "bpf_link__open": (_PTR, _STR),
    "bpf_link__destroy": (_INT, _PTR),
    "bpf_obj_get": (_INT, _STR),
    "bpf_obj_pin": (_INT, _INT, _STR),
    "bpf_obj_get_info_by_fd": (_INT, _INT, _PTR, ctypes.POINTER(_U32)),
    "bpf_map_lookup_elem": (_INT, _INT, _STR, _PTR),
    "bpf_map_update_elem": (_INT, _INT, _STR, _STR, _U64),
    "bpf_map_delete_elem": (_INT, _INT, _STR),
    "bpf_map_get_next_key": (_INT, _INT, _STR, _PTR),
    "ring_buffer__new": (_PTR, _INT, SAMPLE, _PTR, _PTR),
    "ring_buffer__epoll_fd": (_INT, _PTR),
    "ring_buffer__consume": (_INT, _PTR),
    "ring_buffer__free": (None, _PTR),
    "btf__type_cnt": (_U32, _PTR),
    "btf__type_by_id": (_PTR, _PTR, _U32),
    "btf__name_by_offset": (_STR, _PTR, _U32),
    "btf__find_by_name_kind": (_INT, _PTR, _STR, _U32),
}

# What libbpf prints is one stream for the whole process: who reads it goes one after the other.
_one_reader = threading.Lock()
_heard: list[str] | None = None


@functools.cache
def lib() -> ctypes.CDLL:
    """Load the library once.

    Raises:
        UnsupportedError: it is not installed, or older than 1.0.
    """
    try:
        found = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise UnsupportedError(
            "no libbpf.so.1: install it (Debian: apt-get install libbpf1)"
        ) from error
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    found.libbpf_set_print(_print)
    return found


def version() -> str:
    """The library's version, as it says it itself."""
    text: bytes = lib().libbpf_version_string()
    return text.decode()


def links_struct_ops() -> bool:
    """Whether it can attach struct_ops by a link: libbpf 1.2, which also brought this function."""
    return hasattr(lib(), "bpf_link__update_map")


def checked(result: int, what: str) -> int:
    """Return the result of a function that answers with an int, or raise what it means."""
    if result < 0:
        raise BpfError(what, -result)
    return result


def pointer(result: int | None, what: str) -> int:
    """Return the result of a function that answers with a pointer, or raise what errno means."""
    if not result:
        raise BpfError(what, ctypes.get_errno())
    return result


def opened(path: Path) -> int:
    """Open a pinned map or program; its descriptor, closed on exec."""
    return checked(lib().bpf_obj_get(os.fsencode(path)), f"opening {path}")


def pin(fd: int, path: Path) -> None:
    """Give the link or map a name in a bpf file system, which keeps it alive."""
    checked(lib().bpf_obj_pin(fd, os.fsencode(path)), f"pinning {path}")


def trim() -> None:
    """Give memory back that loading took: 11 MiB for the kernel's type information (seen)."""
    # Only glibc keeps it, and only glibc has this function.
    release = getattr(_libc(), "malloc_trim", None)
    if release is not None:
        release(0)


@contextmanager
def words() -> Iterator[list[str]]:
    """What libbpf prints meanwhile, the verifier's log included; debug messages are left out."""
    global _heard
    with _one_reader:
        _heard = []
        try:
            yield _heard
        finally:
            _heard = None


def _print_to_heard(level: int, text: bytes, arguments: int) -> int:
    heard = _heard
    if level > _INFO or heard is None:
        return 0
    formatted = ctypes.c_void_p()
    libc = _libc()
    # Not vsnprintf: a va_list can be gone through only once, and a verifier's log may be megabytes.
    size: int = libc.vasprintf(ctypes.byref(formatted), text, arguments)
    if size >= 0:
        heard.append(ctypes.string_at(formatted, size).decode(errors="replace"))
        libc.free(formatted)
    return 0


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.vasprintf.argtypes = (_PTR, _STR, _PTR)
    libc.free.argtypes = (_PTR,)
    return libc


# Kept for ever: libbpf may call it until the process ends.
_print = _PRINT(_print_to_heard)
