"""Seals a task of suite M with the shared library and prints its size.

    seal.py [LIBRARY]     the library is libtaskseal.so in the search path by default
"""

import ctypes
import os
import sys
import time
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64

HAS_EXPIRES_AT, HAS_ISSUED_AT = 1 << 0, 1 << 2


class Text(Structure):
    _fields_ = [("start", c_char_p), ("length", c_size_t)]

    def __init__(self, text):
        super().__init__(text.encode(), len(text.encode()))


class MacKey(Structure):
    _fields_ = [("tag", c_uint64), ("words", c_uint64 * 5)]


class Claims(Structure):
    _fields_ = [
        ("issuer", Text), ("task_type", Text), ("audience", Text), ("task_id", c_uint8 * 16), ("present", c_uint32),
        ("clock", c_uint32), ("expires_at", c_uint64), ("not_before", c_uint64), ("issued_at", c_uint64),
        ("sequence_counter", c_uint64), ("sequence_epoch", c_uint32), ("schema", c_uint32), ("ttl", c_uint32),
        ("timeout", c_uint32), ("retention", c_uint32), ("attempts", c_uint16), ("trace", c_uint8 * 25),
        ("beacon", c_uint8 * 8), ("reference", Text), ("request", c_uint8 * 32),
    ]  # fmt: skip


class Task(Structure):
    _fields_ = [
        ("claims", Claims), ("content_type", Text), ("body", c_char_p), ("body_length", c_size_t), ("kind", c_uint32),
    ]  # fmt: skip


def load(path):
    """Returns the library with the types of the functions below."""
    library = ctypes.CDLL(path)
    library.taskseal_error_name.restype = c_char_p
    library.taskseal_mac_key_init.argtypes = [POINTER(MacKey), c_char_p, c_char_p]
    library.taskseal_seal_m.argtypes = [POINTER(Task), POINTER(MacKey), c_char_p, c_size_t]
    for name in ("taskseal_mac_key_init", "taskseal_seal_m"):
        getattr(library, name).restype = c_int32
    return library


def checked(library, code):
    """Returns a length, or ends the program with the name of the error."""
    if code < 0:
        sys.exit(library.taskseal_error_name(code).decode())
    return code


def main(path="libtaskseal.so"):
    library = load(path)
    key, now, body = MacKey(), int(time.time()), b'{"celsius":21}'
    checked(library, library.taskseal_mac_key_init(byref(key), os.urandom(8), os.urandom(32)))
    claims = Claims(
        issuer=Text("sensor-17"),
        task_type=Text("reading:store"),
        audience=Text("plant-a/ingest"),
        task_id=(c_uint8 * 16)(*os.urandom(16)),
        present=HAS_EXPIRES_AT | HAS_ISSUED_AT,
        expires_at=now + 3600,
        issued_at=now,
    )
    task = Task(claims=claims, content_type=Text("application/json"), body=body, body_length=len(body))
    size = checked(library, library.taskseal_seal_m(byref(task), byref(key), None, 0))
    envelope = ctypes.create_string_buffer(size)
    checked(library, library.taskseal_seal_m(byref(task), byref(key), envelope, size))
    library.taskseal_mac_key_wipe(byref(key))
    # COSE_Mac0 has tag 17.
    assert envelope.raw[0] == 0xD1 and body in envelope.raw
    print(f"sealed: {size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
