"""A server's power, whatever is on its disk."""

from pathlib import Path
from typing import cast

from tests.uml.disk import blank_disk, is_blank
from tests.uml.machine import Machine
from tests.uml.outlet import Outlet


class Played:
    """A machine that is alive until its power is cut."""

    alive = True

    def power_cut(self) -> None:
        self.alive = False


def test_a_server_whose_disk_is_blank_has_power_all_the_same() -> None:
    started: list[Machine | None] = [cast(Machine, Played()), None, cast(Machine, Played())]
    outlet = Outlet("julius", lambda _: started.pop(0))
    for machines in (1, 1, 2):
        outlet.switch_on()
        outlet.switch_on()
        assert outlet.is_on()
        assert len(outlet.machines) == machines
        outlet.switch_off()
        outlet.switch_off()
        assert not outlet.is_on()


def test_a_disk_is_blank_until_something_is_written(tmp_path: Path) -> None:
    image = blank_disk(tmp_path / "disk", 1)
    assert is_blank(image)
    with image.open("r+b") as disk:
        disk.seek(1 << 29)
        disk.write(b"x" * 4096)
    assert not is_blank(image)
