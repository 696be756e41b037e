"""Runs a program as on a kernel that lacks a kind of eBPF map or program.

    lacking_kernel.py map|program NUMBER COMMAND...

The program's bpf() calls that create a map (or load a program) of this type are answered with EINVAL, which is what a
kernel answers that does not know the type; every other call goes to the real kernel. A seccomp filter hands the calls
over, and this process decides. Numbers are those of `enum bpf_map_type` and `enum bpf_prog_type`. The exit code is the
program's.
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
COMMANDS = {"map": 0, "program": 5}

SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
PR_SET_NO_NEW_PRIVS = 38
RET_ALLOW, RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def hand_over_bpf_calls():
    """Installs the filter for this process and what it becomes; returns where the calls can be read."""
    steps = [(LOAD_WORD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, BPF), (RETURN, 0, 0, RET_USER_NOTIF), (RETURN, 0, 0, RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = Filter(len(steps), ctypes.addressof(code))
    # Without privileges a filter is only allowed together with this promise; with them it does not hurt.
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def answer(listener, command, kind):
    """Decides one call."""
    notice = bytearray(80)
    fcntl.ioctl(listener, RECEIVE, notice)
    call, pid = struct.unpack_from("QI", notice)
    arguments = struct.unpack_from("6Q", notice, 32)
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(arguments[1])
        (asked,) = struct.unpack("I", memory.read(4))
    if arguments[0] == command and asked == kind:
        reply = struct.pack("QqiI", call, 0, -errno.EINVAL, 0)
    else:
        reply = struct.pack("QqiI", call, 0, 0, CONTINUE)
    fcntl.ioctl(listener, SEND, reply)


def main():
    command, kind, program = COMMANDS[sys.argv[1]], int(sys.argv[2]), sys.argv[3:]
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        socket.send_fds(theirs, [b"."], [hand_over_bpf_calls()])
        theirs.close()
        os.execvp(program[0], program)
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    events = select.poll()
    events.register(listener, select.POLLIN)
    while not events.poll()[0][1] & select.POLLHUP:
        try:
            answer(listener, command, kind)
        except OSError as error:
            # The caller is gone.
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                raise
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
