"""The place where programs run: new namespaces, no privileges, and a root folder that holds Python and nothing else."""

import os
import sys
import sysconfig
from pathlib import Path

from sftlab.benchmarks.sandbox import kernel

SCRATCH = Path("/tmp")
PACKAGES = Path("/packages")
NOBODY = 65534
INSIDE_ID = 1000
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LIBRARIES = ("lib", "lib64", "usr/lib", "usr/lib64", "etc/ld.so.cache", "usr/share/zoneinfo")
_ASSEMBLED_AT = Path("/sys")
_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)


def isolate() -> None:
    """Leave the host: its users, files, processes, network and names. Children of this process are in it for good.

    Raises OSError where the kernel or the machine's policy forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    own = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    if user == 0:
        kernel.unshare(kernel.CLONE_NEWNS)
        _new_root()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        kernel.set_dumpable(True)
        user = group = NOBODY
        kernel.unshare(_NAMESPACES)
        _map_ids(own, user, group)
    else:
        kernel.unshare(_NAMESPACES)
        _map_ids(own, user, group)
        _new_root()
    os.close(own)
    kernel.set_dumpable(False)


def own_scratch(num_bytes: int, num_files: int) -> None:
    """Give this process and its children a writable folder of their own, bounded in size, which ends with them."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
    options = f"size={num_bytes},nr_inodes={num_files},mode=700"
    kernel.mount("none", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)
    os.chdir(SCRATCH)


def _map_ids(own: int, user: int, group: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_ID} {user} 1"),
        ("gid_map", f"{INSIDE_ID} {group} 1"),
    ):
        descriptor = os.open(name, os.O_WRONLY, dir_fd=own)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def _new_root() -> None:
    kernel.mount("none", Path("/"), "", kernel.MS_REC | kernel.MS_PRIVATE)
    root = _ASSEMBLED_AT
    kernel.mount("none", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    (root / "dev").mkdir()
    (root / "tmp").mkdir()
    for name in _DEVICES:
        _shown(Path("/dev") / name, root / "dev" / name, devices=True)
    for name in _LIBRARIES:
        _shown(Path("/") / name, root / name)
    for source, inside in _python().items():
        _shown(source, root / inside.relative_to("/"))
        if (source / "site-packages").is_dir():
            kernel.mount("none", root / inside.relative_to("/") / "site-packages", "tmpfs", kernel.MS_RDONLY)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("none", root, "", flags)
    kernel.enter_root(root)


def _python() -> dict[Path, Path]:
    """The standard library at its own place, and numpy where programs find it."""
    standard = {Path(sysconfig.get_path("stdlib")).resolve(), Path(sysconfig.get_config_var("DESTSHARED")).resolve()}
    seen = [Path("/usr/lib"), Path("/lib"), *standard]
    shown = {place: place for place in standard if not any(folder in place.parents for folder in seen)}
    for folder in map(Path, sys.path):
        for name in ("numpy", "numpy.libs"):
            if (folder / name).is_dir() and PACKAGES / name not in shown.values():
                shown[(folder / name).resolve()] = PACKAGES / name
    return shown


def _shown(source: Path, target: Path, *, devices: bool = False) -> None:
    if source.is_symlink() and not devices:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.readlink())
        return
    if not source.exists():
        return
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.bind_read_only(source, target, devices=devices)
