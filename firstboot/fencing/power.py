"""The peer's power, through the fence agents themselves; no pacemaker runs yet.

Options go in by standard input (fence agent API: key=value lines; status answers 0 for on, 2 for
off). Upstream: fence_ipmilan hands ipmitool the password as `-P PASSWORD` (fence-agents 4.12), the
one argv with a secret in it; our own ipmitool reads it from the secret's file.
"""

from collections.abc import Sequence
from pathlib import Path

from firstboot import files
from firstboot.commands import CommandError, Run
from firstboot.fencing import identity, redfish
from firstboot.fencing.rehearsal import OFF, ON
from firstboot.render import fencedevice
from firstboot.render.fencedevice import Device

ACTION_S = 120.0  # fence_ipmilan waits 20 s for the power to change, several times at worst
IPMI_PORT = "623"


class DeviceError(CommandError):
    """A fence device did not do what it was told; names it, which no agent does, and its place."""

    def __init__(self, device: Device, action: str, error: CommandError) -> None:
        super().__init__(error.result)
        ip = device.options.get("ip")
        what = f"{device.agent}{f' at {ip}' if ip else ''}: {action}: {error}"
        look = f"its power, its cable and its account{f'; ping {ip}' if ip else ''}"
        self.args = (f"{what}; next: {look}",)


class Power:
    """One level of a node's fence devices, which all have to act: two feeds are two devices."""

    def __init__(self, root: Path, run: Run, devices: Sequence[Device]) -> None:
        self._root = root
        self._run = run
        self._devices = devices

    @property
    def name(self) -> str:
        """What evidence calls it."""
        return " and ".join(f"{d.agent} at {d.options.get('ip', '-')}" for d in self._devices)

    def state(self) -> str:
        """OFF when every device says so, else ON. Raises CommandError when one gives no answer."""
        answers = [self._call(device, "status", ok=(0, 2)) for device in self._devices]
        return OFF if all(answer == 2 for answer in answers) else ON

    def off(self) -> None:
        """Cut it. Raises CommandError when a device can't."""
        for device in self._devices:
            self._call(device, "off")

    def on(self) -> None:
        """Give it back. Raises CommandError when a device can't."""
        for device in self._devices:
            self._call(device, "on")

    def guids(self) -> list[str]:
        """What the BMCs among the devices name as their machine's UUID."""
        printed = [self._ipmitool(device, "mc", "guid") for device in self._bmcs()]
        found = [guid for text in printed if (guid := identity.parse_guid(text)) is not None]
        for device in self._services():
            found += redfish.uuids(self._place(device))
        return found

    def shut_out(self) -> list[str]:
        """The Redfish services among the devices that answer, and do not let the account in."""
        out = [device for device in self._services() if redfish.shuts_out(self._place(device))]
        return [f"{device.agent} at {device.options['ip']}" for device in out]

    def boot_from_disk(self, *, efi: bool) -> bool:
        """Next time it starts from its disk, whatever comes first otherwise; False: can't be set.

        One of the devices is enough: they are one machine's. Not every BMC knows it, and a medium
        left in the drive starts the installed node anyway.
        """
        options = ("options=efiboot",) if efi else ()
        disk = ("chassis", "bootdev", "disk", *options)
        done = [bool(self._ipmitool(device, *disk)) for device in self._bmcs()]
        done += [redfish.boot_from_disk(self._place(device)) for device in self._services()]
        return any(done)

    def _bmcs(self) -> list[Device]:
        return [device for device in self._devices if "lanplus" in device.options]

    def _services(self) -> list[Device]:
        redfishs = fencedevice.AGENTS["redfish"]
        return [device for device in self._devices if device.agent == redfishs]

    def _place(self, device: Device) -> redfish.Place:
        at, password = device.options, self._secret(device).read_text(encoding="ascii")
        port = int(at.get("ipport", redfish.PORT))
        return redfish.Place(at["ip"], port, at["username"], password)

    def _call(self, device: Device, action: str, ok: tuple[int, ...] = (0,)) -> int:
        given = {"action": action, **device.options}
        if device.agent not in fencedevice.AGENTS.values():  # as pacemaker calls it
            given.update(nodename=device.target, plug=device.target)
        if password := self._secret(device).read_text(encoding="ascii"):
            given["password"] = password
        options = "".join(f"{name}={value}\n" for name, value in given.items())
        program = str(fencedevice.FOLDER / device.agent)
        try:
            return self._run([program], stdin=options, ok=ok, timeout_s=ACTION_S).returncode
        except CommandError as error:
            raise DeviceError(device, action, error) from error

    def _ipmitool(self, device: Device, *command: str) -> str:
        """What it prints, "" when the BMC won't."""
        at = device.options
        reach = ["-I", "lanplus", "-H", at["ip"], "-p", at.get("ipport", IPMI_PORT)]
        login = ["-U", at["username"], "-L", "OPERATOR", "-f", str(self._secret(device))]
        done = self._run(["ipmitool", *reach, *login, *command], ok=(0, 1))
        return done.stdout if done.returncode == 0 else ""

    def _secret(self, device: Device) -> Path:
        return self._root / files.SECRETS / device.secret
