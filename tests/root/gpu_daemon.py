"""The daemon on a host with a GPU that is not there: what it looks for is in the folder HOST names.

Nothing else of it is replaced. The fake driver tells pids as they are in our pid namespace.
"""

import os
import shutil
from pathlib import Path

from agentcg.control.main import main
from agentcg.gpu import device_gate, libcuda
from agentcg.gpu.shim import Shim
from agentcg.gpu.watchdog import Watchdog
from agentcg.kernel.bpffs import Pins
from tests.gpu.shimmed import SHIM
from tests.gpu.tenants import LIBRARY
from tests.root.gpu import GPU

HOST = "AGENTCG_FAKE_HOST"
MODULE = "tests.root.gpu_daemon"
CUDA = Path("usr/lib64") / LIBRARY.name


def furnish(folder: Path) -> None:
    """Put there a libcuda, and the major number of a driver's devices."""
    (folder / CUDA).parent.mkdir(parents=True)
    shutil.copy(LIBRARY, folder / CUDA)
    (folder / "devices").write_text(f"Character devices:\n  {GPU} nvidia\n\nBlock devices:\n")


if __name__ == "__main__":
    host = Path(os.environ[HOST])
    libcuda.installed.__defaults__ = (host,)
    device_gate.nvidia_majors.__defaults__ = (host / "devices",)
    Pins.__init__.__defaults__ = (host / "bpf/agentcg",)
    Shim.__init__.__defaults__ = (SHIM,)
    Watchdog.__init__.__defaults__ = (lambda: True,)
    main()
