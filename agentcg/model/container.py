"""What a container engine says of one of its containers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Container:
    """The facts that decide about a container.

    `image_labels` are those that came with the image. `mounts` are host paths.
    """

    id: str
    name: str
    image: str
    pid: int
    running: bool
    started_at: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    image_labels: Mapping[str, str] = field(default_factory=dict)
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    pid_mode: str = ""
    cgroupns_mode: str = ""
    security_opt: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    writable_mounts: tuple[str, ...] = ()
