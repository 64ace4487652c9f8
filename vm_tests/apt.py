"""Reads Debian suites through a package configuration of its own.

The host's package sources are read for the mirror's address and never changed: lists, cache and
sources live in the harness's cache. The rest of the host's configuration (proxies, credentials)
still applies.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vm_tests import cache, steps
from vm_tests.errors import HarnessError

_SYSTEM_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SOURCES = Path("/etc/apt")


def source_line(suite: str) -> str:
    """Return the one-line source entry of a suite."""
    return f"deb [signed-by={keyring()}] {mirror()} {suite} main"


def mirror() -> str:
    """Return the Debian archive's address: the variable, else what the host itself uses."""
    if chosen := os.environ.get("AGENTCG_VM_MIRROR"):
        return chosen.rstrip("/")
    if platform.freedesktop_os_release().get("ID") == "debian":
        for address, suites in _host_sources():
            # Security and third-party archives are not the main one; it alone has plain suites.
            if not any("/" in suite or "-security" in suite for suite in suites) and re.search(
                r"\bdebian\b", address.rstrip("/").rsplit("/", 1)[-1]
            ):
                return address.rstrip("/")
    raise HarnessError(
        "no Debian archive in this host's package sources: set AGENTCG_VM_MIRROR to the address of"
        f" one and AGENTCG_VM_KEYRING to its keyring (now {keyring()})"
    )


def keyring() -> Path:
    """Return the keyring that archives are checked against."""
    return Path(os.environ.get("AGENTCG_VM_KEYRING") or _SYSTEM_KEYRING)


def _host_sources() -> Iterator[tuple[str, list[str]]]:
    """Yield (address, suites) of every enabled entry."""
    for path in sorted((_SOURCES / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
                for address in fields.get("URIs", "").split():
                    yield address, fields.get("Suites", "").split()
    lists = [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*.list"))]
    for path in lists:
        text = path.read_text() if path.exists() else ""
        for address, suite in re.findall(
            r"^deb\s+(?:\[.*?\]\s*)?(\S+)\s+(\S+)", text, re.MULTILINE
        ):
            yield address, [suite]


class Apt:
    """A suite's packages: names, and files to unpack."""

    def __init__(self, suite: str, log: Path) -> None:
        if not keyring().exists():
            raise HarnessError(
                f"no keyring {keyring()}: install debian-archive-keyring, or set AGENTCG_VM_KEYRING"
            )
        self._log = log
        self._base = cache.root() / "apt" / suite
        for folder in ("lists/partial", "archives/partial"):
            (self._base / folder).mkdir(parents=True, exist_ok=True)
        (self._base / "sources.list").write_text(source_line(suite) + "\n")
        (self._base / "status").touch()
        steps.run(["apt-get", *self._options(), "update"], log)

    def names(self, prefix: str) -> list[str]:
        """Return the packages whose names begin so."""
        return subprocess.run(
            ["apt-cache", *self._options(), "pkgnames", prefix],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()

    def unpack(self, package: str, into: Path) -> None:
        """Download a package and unpack its files; none of its scripts run."""
        archives = self._base / "archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        steps.run(["apt-get", *self._options(), "download", package], self._log, cwd=archives)
        for archive in archives.glob("*.deb"):
            steps.run(["dpkg-deb", "-x", archive, into], self._log)
            archive.unlink()

    def _options(self) -> list[str]:
        settings = {
            "Dir::State::lists": self._base / "lists",
            "Dir::State::status": self._base / "status",
            "Dir::Cache": self._base,
            "Dir::Etc::sourcelist": self._base / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            # As root, apt would download as a user who may not read our cache, and warn.
            "APT::Sandbox::User": "root",
            "APT::Architecture": "amd64",
        }
        return [f"-o{name}={value}" for name, value in settings.items()]
