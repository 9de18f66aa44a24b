# SPDX-License-Identifier: MIT
"""A system call made to fail in this process and its children, as a container's profile or an older kernel does."""
import ctypes
import errno
import platform
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7fff0000, 0x00050000
NUMBER, THIRD_ARGUMENT = 0, 16 + 2 * 8  # offsets in struct seccomp_data, low half
CALLS = {"madvise": {"x86_64": 28, "aarch64": 233}, "io_uring_setup": {"x86_64": 425, "aarch64": 425}}
libc = ctypes.CDLL(None, use_errno=True)


def refuse(call, error, third=None):
    """To be called in the child before it becomes the program (preexec_fn). third: only with that third argument."""
    number = CALLS[call][platform.machine()]
    code = [(LOAD_WORD, 0, 0, NUMBER), (JUMP_EQUAL, 0, 3 if third is not None else 1, number)]
    if third is not None:
        code += [(LOAD_WORD, 0, 0, THIRD_ARGUMENT), (JUMP_EQUAL, 0, 1, third)]
    code += [(RETURN, 0, 0, FAIL | getattr(errno, error)), (RETURN, 0, 0, ALLOW)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")
