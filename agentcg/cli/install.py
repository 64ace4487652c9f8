"""`agentcg install` and `uninstall`: the systemd side of the package, and nothing outside it.

Files go to /etc and /usr/local, where an administrator's own things live; a configuration that
is there already is never touched.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from agentcg.errors import UnavailableError
from agentcg.native import shim

_PACKAGE = Path(__file__).parents[1]
_UNITS = (
    "agentcg.service",
    "agentcg-admin.socket",
    "agentcg-agent.socket",
    "agentcg-keeper.service",
    "agentcg.slice",
)
_STARTED = ("agentcg-keeper.service", "agentcg-admin.socket", "agentcg-agent.socket")


@dataclass(frozen=True, slots=True)
class Where:
    """Where files come from and go to; `prefix` is "/" but for tests."""

    prefix: Path = Path("/")

    @property
    def acg(self) -> Path:
        """The native client, outside any virtual environment."""
        return self.prefix / "usr/local/lib/agentcg/acg"

    @property
    def shared(self) -> Path:
        """The copy that containers mount; tmpfiles.d makes it at boot and never renews it."""
        return self.prefix / "run/agentcg/agent/acg"

    @property
    def shim(self) -> Path:
        """What stands before libcuda in programs that are told to load it."""
        return self.prefix / "usr/local/lib/agentcg/shim"

    @property
    def units(self) -> Path:
        """The administrator's units."""
        return self.prefix / "etc/systemd/system"

    def links(self) -> dict[Path, Path]:
        """Link to target: the client by its names."""
        found = self.prefix / "usr/local/bin"
        return {
            found / "acg": self.acg,
            found / "acg-shell": self.acg,
            self.acg.with_name("acg-shell"): Path("acg"),
            self.acg.with_name("acg-runc"): Path("acg"),
            self.shared.with_name("acg-shell"): Path("acg"),
            self.shim / "libcuda.so": Path("libcuda.so.1"),  # some programs ask for that
        }

    def files(self) -> dict[Path, Path]:
        """Target to source, without the configuration."""
        system = source("systemd")
        return {
            **{self.units / unit: system / unit for unit in _UNITS},
            self.prefix / "etc/sysusers.d/agentcg.conf": system / "sysusers.conf",
            self.prefix / "etc/tmpfiles.d/agentcg.conf": system / "tmpfiles.conf",
        }

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.prefix / "etc/agentcg/agentcg.yaml"


def source(kind: str) -> Path:
    """Where the wheel, or a checkout, keeps the daemon's files."""
    packed = _PACKAGE / "_system" / kind
    return packed if packed.is_dir() else _PACKAGE.parent / "daemon" / kind


def native() -> Path:
    """The native client that came with the package.

    Raises:
        UnavailableError: a checkout in which it was not built.
    """
    for path in (_PACKAGE / "_native/acg", _PACKAGE.parent / "build/acg"):
        if path.is_file():
            return path
    raise UnavailableError("acg was not built: run `make acg`, or install the wheel")


def put(where: Where) -> list[Path]:
    """Copy all files into place; returns what was written."""
    written = []
    compiled = {where.acg: native(), where.shared: native()}
    compiled |= {where.shim / one.name: one for one in shim().glob("*.so*")}
    for target, origin in compiled.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        shutil.copyfile(origin, fresh)
        fresh.chmod(0o755)
        fresh.replace(target)  # a running `acg pause` keeps the old file
        written.append(target)
    for link, target in where.links().items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        written.append(link)
    words = {"@BIN@": str(Path(sys.executable).parent), "@ACG@": str(where.acg)}
    for target, origin in where.files().items():
        text = origin.read_text()
        for word, value in words.items():
            text = text.replace(word, value)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        written.append(target)
    if not where.config.exists():
        where.config.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source("config") / "agentcg.yaml", where.config)
        written.append(where.config)
    return written


def start(*, enable: bool) -> None:
    """Make group and directories, load the units, and with `enable` start them now and at boot."""
    _run("systemd-sysusers", "/etc/sysusers.d/agentcg.conf")
    _run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/agentcg.conf")
    _run("systemctl", "daemon-reload")
    if enable:
        _run("systemctl", "enable", "--now", *_STARTED, "agentcg.service")


def remove(where: Where) -> None:
    """Stop the daemon and take out what `put` wrote; configuration and journal stay."""
    _run("systemctl", "disable", "--now", "agentcg.service", *_STARTED)
    for path in [*where.files(), where.acg, where.shared, *where.links()]:
        path.unlink(missing_ok=True)
    shutil.rmtree(where.shim, ignore_errors=True)
    _run("systemctl", "daemon-reload")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            command, check=False, capture_output=True, text=True, timeout=240
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UnavailableError(f"{' '.join(command)}: {e}; systemd is needed here") from e
    if done.returncode:
        raise UnavailableError(
            f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()[:500]}"
        )
