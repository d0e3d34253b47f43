"""A folder with Python and LiteRT for 64-bit ARM, and the command that runs them under QEMU.

The packages are Debian's, unpacked and not installed, so that no administrator's rights, no chroot
and no change to this machine are needed. QEMU runs one program, `-L` shows it the folder's files.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# QEMU's name of a processor -> the part number and features that Linux shows in /proc/cpuinfo.
# XNNPACK asks for both; QEMU passes on the host's cpuinfo, which no ARM library understands.
PROCESSORS = {
    "cortex-a53": ("0xd03", "fp asimd aes pmull sha1 sha2 crc32 cpuid"),
    "cortex-a72": ("0xd08", "fp asimd aes pmull sha1 sha2 crc32 cpuid"),
    "cortex-a76": ("0xd0b", "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimddp"),
    # All that QEMU can do but SME, presented as the Cortex-A710, which has these products.
    "max": ("0xd47", "fp asimd atomics fphp asimdhp cpuid asimddp sve sve2 svei8mm i8mm bf16"),
}
WHEEL_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64")
PACKAGES = ("python3", "libstdc++6")
CORES = 2


def is_ready(root: Path) -> bool:
    """Whether `root` was made by this script for this environment's version of LiteRT."""
    try:
        return (root / "litert_version").read_text() == importlib.metadata.version("ai-edge-litert")
    except FileNotFoundError:
        return False


def build_root(root: Path, source: str | None) -> None:
    """Fills `root` with Python for arm64 and this environment's version of LiteRT."""
    if root.exists() and any(root.iterdir()) and not (root / "litert_version").exists():
        sys.exit(f"Expected --root to be a new folder or one made by this script. Received: {root}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        unfinished = Path(folder) / "root"
        for package in download_packages(Path(folder) / "apt", source):
            _check(["dpkg-deb", "-x", str(package), str(unfinished)])
        if not (unfinished / "lib").exists():  # newer systems keep everything under /usr
            (unfinished / "lib").symlink_to("usr/lib")
        version = importlib.metadata.version("ai-edge-litert")
        install_wheels(unfinished, f"ai-edge-litert=={version}")
        (unfinished / "litert_version").write_text(version)
        if root.exists():
            shutil.rmtree(root)
        os.replace(unfinished, root)


def download_packages(folder: Path, source: str | None) -> list[Path]:
    """Debian's packages for arm64, with all that they need, from the mirrors that apt knows."""
    if not shutil.which("apt-get"):
        sys.exit("Expected apt-get, of Debian or Ubuntu. Received: a system without it.")
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()  # nothing is installed yet, so that apt names everything
    options = {
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
    }
    if source:
        (folder / "sources.list").write_text(f"{source}\n")
        options |= {"Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "-"}
    apt = ["apt-get", *[f"-o{name}={value}" for name, value in options.items()]]
    _check([*apt, "update"])
    _check([*apt, "install", "--download-only", "--yes", *PACKAGES])
    return sorted(folder.glob("archives/*.deb"))


def install_wheels(root: Path, *requirements: str) -> None:
    version = next(root.glob("usr/bin/python3.*")).name.removeprefix("python")
    has_pip = importlib.util.find_spec("pip") is not None
    _check(
        [
            *([sys.executable, "-m", "pip"] if has_pip else ["pip"]),
            *["install", "--quiet", "--only-binary=:all:", f"--python-version={version}"],
            *[f"--platform={platform}" for platform in WHEEL_PLATFORMS],
            f"--target={root / 'wheels'}",
            *requirements,
        ]
    )


def emulator(root: Path) -> list[str]:
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not qemu:
        sys.exit("Expected QEMU: apt-get install qemu-user-static. Received: a system without it.")
    # -L: a file that exists under the root stands for the machine's own, /proc/cpuinfo included.
    return [qemu, "-L", str(root), str(root / "usr" / "bin" / "python3")]


def emulated_environment(root: Path, processor: str) -> dict[str, str]:
    """Describes `processor` in the root's files; returns the environment to run QEMU in."""
    part, features = PROCESSORS[processor]
    description = {
        "Features": features,
        "CPU implementer": "0x41",  # Arm
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": part,
        "CPU revision": "4",
    }
    lines = "".join(f"{name}\t: {value}\n" for name, value in description.items())
    cpuinfo = "".join(f"processor\t: {core}\n{lines}\n" for core in range(CORES))
    for name in ("possible", "present"):
        _write(root / "sys" / "devices" / "system" / "cpu" / name, f"0-{CORES - 1}\n")
    _write(root / "proc" / "cpuinfo", cpuinfo)
    # QEMU before 8.2.1 sums SME's 8-bit products wrongly (its issue 2083): quantised models give
    # nonsense. Pointer authentication by QEMU's own cipher, as the architecture's is a slow one.
    name = "max,sme=off,pauth-impdef=on" if processor == "max" else processor
    return {"QEMU_CPU": name, "PYTHONPATH": str(root / "wheels"), "LANG": "C.UTF-8"}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _check(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
