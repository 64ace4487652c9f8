"""Which devices need a lease."""

from pathlib import Path

from agentcg.gpu.device_gate import nvidia_majors


def test_the_drivers_devices_are_found_by_name(tmp_path: Path) -> None:
    devices = tmp_path / "devices"
    devices.write_text(
        "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n235 nvidia-caps\n511 nvidia-uvm\n"
        "\nBlock devices:\n  8 sd\n250 nvidia-block\n"
    )
    assert nvidia_majors(devices) == {195, 235, 511}
    devices.write_text("Character devices:\n  1 mem\n")
    assert nvidia_majors(devices) == frozenset()
