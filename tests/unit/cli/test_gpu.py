import csv
import io
import json
import time
from dataclasses import replace

import pytest

from agentcg.cli import gpu
from agentcg.model.gpu import GpuView, GpuWish, GuardKind, Lease, LeaseState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, LeaseId, SessionId
from agentcg.model.intent import Intent
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run

GIB = 1 << 30
QUEUED = Lease(
    LeaseId("g-q"),
    SessionId("s\x1b[1m"),
    CallId("c-2"),
    GpuWish(8 * GIB, wait=60.0),
    LeaseState.QUEUED,
    6.0,
    eta=12.0,
    reason="=cmd\u202e",
)


@pytest.fixture(autouse=True)
def leases(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    granted = replace(
        *(QUEUED,),
        id=LeaseId("g-a"),
        state=LeaseState.ACTIVE,
        bytes=4 * GIB,
        used=3 * GIB,
        guard=GuardKind.NVML,
        gpu="GPU-1",
        eta=None,
        asked_at=9.0,
        reason="",
    )
    server.controller.gpus.leases = {QUEUED.id: QUEUED, granted.id: granted}


def test_it_shows_device_engine_guards_and_leases_with_the_queue_last(cli: Run) -> None:
    code, out, _ = cli("gpu")
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "80 GiB 60 GiB 20 GiB" in out
    assert (
        "engine: KV cache 30 GiB of 40 GiB used, 4 GiB reclaimable; 3 requests run, 2 wait" in out
    )
    assert "guard nvml: works" in out
    assert "guard driver: driver 580 has no limits" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("g-")]
    assert [row[0] for row in rows] == ["g-a", "g-q"]
    assert rows[0][4:] == ["8", "GiB", "4", "GiB", "3", "GiB", "nvml", "-"]
    assert "in 12 s" in out


def test_json_has_all_and_csv_the_leases_without_formulas(cli: Run) -> None:
    _, out, _ = cli("gpu", "-o", "json")
    assert json.loads(out)["engine"]["kv_reclaimable"] == 4 * GIB
    _, out, _ = cli("gpu", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in rows] == ["g-q", "g-a"]
    assert rows[0]["reason"] == "'=cmd\\u202e"
    assert rows[1]["used"] == str(3 * GIB)
    assert rows[0]["used"] == ""


def test_it_is_shown_anew_until_interrupted(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(_: float, left: list[int] = [1, 1]) -> None:  # noqa: B006 - what is left of it
        if not left:
            raise KeyboardInterrupt
        left.pop()

    monkeypatch.setattr(time, "sleep", pause)
    code, out, _ = cli("gpu", "--watch", "-o", "json")
    assert code == 130
    assert [json.loads(line)["reserve"] for line in out.splitlines()] == [2 * GIB] * 3


def test_a_host_without_a_gpu_says_so() -> None:
    (first, *_) = gpu.page(GpuView(), 0.0)
    assert str(first) == "no GPU is seen here"


def test_a_lease_is_asked_for_and_released(cli: Run, server: Running) -> None:
    server.controller.add("c-aaaa2222", Intent(), Grant(), session=HOME)
    code, out, _ = cli("gpu", "lease", "c-aa", "8GiB", "--wait", "5s")
    assert (code, out) == (0, "g-2 is granted of 8 GiB on GPU-1\n")
    assert server.controller.gpus.leases[LeaseId("g-2")].wish == GpuWish(8 * GIB, wait=5.0)
    code, out, _ = cli("gpu", "lease", "c-aa", "81GiB")
    assert (code, out) == (1, "g-3 is denied: at most 80 GiB\n")
    _, out, _ = cli("gpu", "release", "g-2", "-o", "json")
    assert json.loads(out)["state"] == "expiring"
    code, _, err = cli("gpu", "release", "g-9")
    assert (code, err) == (1, "agentcg: lease 'g-9': no such lease\n")
