"""The inside of the sandbox: a script that takes every right away and then runs the program it reads from standard input.

Not imported by `fef`; `fef.tasks.sandbox` starts it as `python -I -S -B child.py ISOLATION CPU_SECONDS MEMORY_BYTES`. It uses
the standard library alone. Under `namespaces` it is three processes: this one stays outside and waits, its child is the
first process of the new namespaces, and that one's child runs the program. When the first process dies, the kernel
kills everything in its namespace.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
from collections.abc import Callable

NOBODY = 65534
# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 442, -100, 0x8000, 0x1, 0x2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CAPABILITY_VERSION_3 = 0x20080522

DISK = b"size=16m,nr_inodes=1k,mode=755"
FILE_BYTES = 1024 * 1024

# Under `limits` root becomes `nobody`, who may not be able to read an interpreter installed under /root, so what a program
# imports from here is imported while that is still possible.
USUAL_MODULES = {
    "array", "bisect", "calendar", "cmath", "collections", "copy", "datetime", "decimal", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "queue", "random", "re", "statistics", "string", "time",
    "typing",
}  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    isolation, cpu_seconds, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    die_with_parent()
    if isolation == "namespaces":
        enter_namespaces()
        file_bytes = FILE_BYTES
        source = read_program()
    else:
        file_bytes = 0  # no file system of its own, so no file at all
        source = read_program()
        imports = " ".join(re.findall(r"^\s*(?:from|import)\b(.*)", source, re.MULTILINE))
        for name in USUAL_MODULES & set(re.findall(r"\w+", imports)):
            __import__(name)
        drop_rights()
        die_with_parent()  # a change of user clears it
    limits = {"CPU": cpu_seconds, "AS": memory, "FSIZE": file_bytes, "NPROC": 0, "CORE": 0, "NOFILE": 64}
    for kind, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (limit, limit))
    run(source)


def read_program() -> str:
    return sys.stdin.buffer.read().decode()


def run(source: str) -> None:
    """Run the program between two prints of a secret token; the second, with what went wrong, only at its very end."""
    token, _, program = source.partition("\n")
    finish = finisher(token)
    os.write(1, token.encode())
    try:
        # as in the evaluation of HumanEval, the program is no `__main__`
        exec(compile(program, "<program>", "exec"), {})
    except BaseException as problem:
        finish(f"{type(problem).__name__}: {problem}"[:500])
    finish("")


def finisher(token: str) -> Callable[[str], None]:
    """Ends the process with a verdict, by functions that the program cannot replace by accident."""
    write, flush, leave = os.write, sys.stdout.flush, os._exit

    def finish(verdict: str) -> None:
        flush()
        write(1, (token + verdict).encode("utf-8", "replace"))
        leave(0)

    return finish


def enter_namespaces() -> None:
    """Return in a process with its own user rights, network, process ids, mounts and root directory, and no capability.

    Root makes the namespaces itself and becomes `nobody`; anyone else does it as the only user of a user namespace.
    """
    uid, gid = os.geteuid(), os.getegid()
    own_user = 0 if uid == 0 else CLONE_NEWUSER
    check(
        libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | own_user),
        "new namespaces",
    )
    if own_user:
        write_file("/proc/self/setgroups", "deny")
        write_file("/proc/self/uid_map", f"{NOBODY} {uid} 1")
        write_file("/proc/self/gid_map", f"{NOBODY} {gid} 1")
    ends = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    first = os.fork()
    if first:
        leave_pipes()
        signal.sigwait(ends)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)  # comes back once the whole namespace is dead
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    die_with_parent()
    make_root()
    program = os.fork()
    if program:
        leave_pipes()
        os.waitpid(program, 0)
        os._exit(0)
    drop_rights()


def leave_pipes() -> None:
    """Close the pipes, so that their other ends see the program's end and not that of its guards."""
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def make_root() -> None:
    """A root directory in memory with the interpreter and the system's libraries read-only, and an empty /tmp."""
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, DISK)
    os.mkdir("/tmp/old")
    check(libc.pivot_root(b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    for path in ("/usr", "/lib", "/lib64", os.path.realpath(sys.base_prefix)):
        show_directory(path)
    for device in ("/dev/null", "/dev/urandom"):
        os.makedirs("/dev", exist_ok=True)
        write_file(device, "")
        mount(f"/old{device}", device, None, MS_BIND, None)
    check(libc.umount2(b"/old", MNT_DETACH), "umount2")
    os.rmdir("/old")
    os.mkdir("/tmp")
    os.chown("/tmp", NOBODY, NOBODY)
    os.chdir("/tmp")


def show_directory(path: str) -> None:
    """Make a directory of the old root visible, read-only, at its old place."""
    if os.path.exists(path) or not os.path.exists(f"/old{path}"):
        return
    if os.path.islink(f"/old{path}"):
        os.symlink(os.readlink(f"/old{path}"), path)
        return
    os.makedirs(path)
    mount(f"/old{path}", path, None, MS_BIND | MS_REC, None)
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    check(
        libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(attributes), size), "read-only"
    )


def drop_rights() -> None:
    """Become `nobody`, who can gain no right again; who is no root already just drops the capabilities."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    header, no_capability = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    check(libc.capset(ctypes.byref(header), ctypes.byref(no_capability)), "capset")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def die_with_parent() -> None:
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: bytes | None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    check(libc.mount(*words, ctypes.c_ulong(flags), data), f"mount on {target}")


def check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def write_file(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


if __name__ == "__main__":
    main()
