"""The pictures of a demo in a machine: what it showed, top, trace, report and the web view.

They are for the documents; who puts them there has looked at them.
"""

import contextlib
import io
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.root.chromium import Browser, browser
from vm_tests import forward, steps, suite
from vm_tests.demo import picture
from vm_tests.errors import HarnessError
from vm_tests.vm import Vm

_AGENTCG = "/opt/agentcg/bin/agentcg"
_SESSION = "demo-sqlglot"
_SHOTS = "/root/pictures"
_SECONDS = 600
_WIDTH = 1000
_CONFIGURATION = "/etc/agentcg/agentcg.yaml"
_TURN_ON = 'echo "web: {enabled: true, port: $1}" >> "$0" && systemctl restart agentcg.service'
_PAGE = "Math.min(1500, document.documentElement.scrollHeight)"  # below are old events
# What is below are plots of single calls.
_SUMMARY = "document.querySelectorAll('figure')[3].getBoundingClientRect().top"
# In the list of those; events tell of it earlier.
_KILLED = "[...document.querySelectorAll('.killed')].find((one) => one.innerText === 'oom')"
_KILLED_CALL = f"{_KILLED}?.closest('tr').querySelector('a').hash"


@contextlib.contextmanager
def pointed(vm: Vm, folder: Path) -> Iterator[Path]:
    """Take pictures of the demo that runs meanwhile in the machine; it yields where to record it.

    What was recorded is drawn at the end, and the report of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recording = folder / "demo.jsonl"
    over = threading.Event()
    suite.put_tests(vm)
    with forward.listener() as door, ThreadPoolExecutor() as pool:
        port = door.getsockname()[1]
        vm.output(["sh", "-c", _TURN_ON, _CONFIGURATION, str(port)])
        forward.serve(vm, door)
        shots = [pool.submit(_screens, vm, folder), pool.submit(_web, vm, folder, over)]
        try:
            yield recording
        except BaseException:
            vm.close()  # or the screens would be waited for
            raise
        finally:
            over.set()
        for shot in shots:
            shot.result()
    with steps.step("pictures", f"Drawing what is left into {folder}"):
        picture.replay(recording, folder)
        _report(vm, folder)


def _screens(vm: Vm, folder: Path) -> None:
    said = io.BytesIO()
    command = [suite.PYTHON, "-m", "vm_tests.demo.screens", _SHOTS]
    if vm.run(command, stream=said.write, cwd=suite.TESTS, timeout=_SECONDS):
        raise HarnessError(f"no pictures of top and trace:\n{said.getvalue().decode()}")
    vm.get(_SHOTS, folder)


def _web(vm: Vm, folder: Path, over: threading.Event) -> None:
    """The host when a call was killed, and that call."""
    link = vm.output([_AGENTCG, "ui"]).splitlines()[0]
    with _browser() as page:
        page.open(link)
        while not (call := page.ask(_KILLED_CALL)):
            if over.wait(1):
                raise HarnessError(f"the web view shows no kill, but:\n{page.text()}")
        _shoot(page, folder / "web.png")
        page.ask(f"location.hash = {call!r}")
        end = time.monotonic() + _SECONDS
        while "Ended by: " not in page.text() and time.monotonic() < end:
            time.sleep(1)
        _shoot(page, folder / "web-call.png")


def _report(vm: Vm, folder: Path) -> None:
    """Of the session whose call was killed, light and dark."""
    words = [_AGENTCG, "report", f"session:{_SESSION}", "-o", "-"]
    html = folder / "report.html"
    html.write_text(vm.output(words), encoding="utf-8")
    with _browser() as page:
        page.open(html.absolute().as_uri())
        while "Calls" not in page.text():
            time.sleep(0.2)
        _shoot(page, folder / "report.png", _SUMMARY)
        _shoot(page, folder / "report-dark.png", _SUMMARY, dark=True)


@contextlib.contextmanager
def _browser() -> Iterator[Browser]:
    with (
        tempfile.TemporaryDirectory(prefix="agentcg-demo-") as scratch,
        browser(Path(scratch)) as page,
    ):
        yield page


def _shoot(page: Browser, path: Path, end: str = _PAGE, *, dark: bool = False) -> None:
    page.do("Emulation.setScrollbarsHidden", hidden=True)
    page.look(_WIDTH, 200)  # text wraps by the width
    height = int(page.ask(end))
    path.write_bytes(page.look(_WIDTH, height, dark=dark))
