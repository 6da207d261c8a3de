"""Every crossover port proves which port of the peer it faces; those that do carry the bond."""

import json
import time
from collections.abc import Sequence
from typing import Callable

from firstboot import facts, files
from firstboot.cabling import Cables
from firstboot.engine import Refused, Step
from firstboot.facts import Port
from firstboot.hellos import FOUND, read
from firstboot.journal import STATE
from firstboot.steps import Context

LOOK_S = 1.0


class Cabling(Step):
    """Waits for the peer without a deadline, goes on with what works, never with a stranger."""

    name = "cabling"

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        self._remark = ""

    def remark(self) -> str:
        """Ports that are not in use and why, cables that lie otherwise than the profile says."""
        return self._remark

    def check(self) -> Sequence[str]:
        """Whether the cables are known, and are still the ones to use."""
        context = self._context
        found = read(context.root)
        if found is None:
            return ["which cable leads where is not known yet"]
        ports = candidates(context)
        here = {port.mac for port in ports}
        missing = [f"port {mac} is gone" for mac, _ in found if mac not in here]
        if not context.identity.first:
            decided = context.hellos.decide(first=False)
            if decided is not None and decided != found:
                missing.append(f"{context.identity.peer.name} uses other cables by now")
        self._remark = "; ".join(self._oddities(ports, found))
        return missing

    def apply(self) -> None:
        """Say hello on every port until it is known which to use."""
        context, ports = self._context, candidates(self._context)
        self._set_up(ports)
        context.hellos.start(context.identity, context.root, ports, None)
        while (cables := context.hellos.decide(first=context.identity.first)) is None:
            context.report(self.name, "waiting", "; ".join(self._seen(ports)))
            self._sleep(LOOK_S)
        cables = tuple(cable for cable in cables if cable[0] in {port.mac for port in ports})
        files.make_folder(context.root / STATE)
        files.replace(context.root / FOUND, (json.dumps(cables) + "\n").encode(), 0o644)
        context.hellos.start(context.identity, context.root, ports, cables)
        self._sleep(LOOK_S)  # the peer hears of it

    def _set_up(self, ports: Sequence[Port]) -> None:
        """A port that is down says and hears nothing."""
        for port in ports:
            flags = self._context.root / "sys/class/net" / port.name / "flags"
            if not int(flags.read_text(encoding="ascii"), 16) & 1:  # IFF_UP
                self._context.run(["ip", "link", "set", "dev", port.name, "up"])

    def _seen(self, ports: Sequence[Port]) -> list[str]:
        verdicts = self._context.hellos.verdicts()
        return [f"{p.name} ({p.mac}) {verdicts[p.mac].why}" for p in ports if p.mac in verdicts]

    def _oddities(self, ports: Sequence[Port], found: Cables) -> list[str]:
        context, used = self._context, dict(found)
        me, peer = context.identity.me, context.identity.peer
        verdicts = context.hellos.verdicts()
        odd = [
            f"not in use: {p.name} ({p.mac})"
            + (f" {verdicts[p.mac].why}" if p.mac in verdicts else "")
            for p in ports
            if p.mac not in used and me.crossover_ports
        ]
        there = {port.mac for port in ports}
        odd += [f"no such port: {mac}" for mac in me.crossover_ports if mac not in there]
        if me.crossover_ports and peer.crossover_ports:
            meant = dict(zip(me.crossover_ports, peer.crossover_ports))
            odd += [
                f"port {own} leads to {theirs}, by the profile to {meant[own]}"
                for own, theirs in found
                if own in meant and meant[own] != theirs
            ]
        return odd


def candidates(context: Context) -> list[Port]:
    """The profile's crossover ports that this machine has, in its order; without any given, every
    port that is none of the uplink's. Raises Refused when there is none.
    """
    me, there = context.identity.me, facts.ports(context.run)
    if me.crossover_ports:
        order = {mac: n for n, mac in enumerate(me.crossover_ports)}
        found = sorted((p for p in there if p.mac in order), key=lambda port: order[port.mac])
    else:
        found = sorted((p for p in there if p.mac not in me.uplink.ports), key=lambda p: p.name)
    if not found:
        raise Refused(
            f"none of the crossover ports {', '.join(me.crossover_ports) or '(any)'} is in this"
            f" machine; it has {', '.join(sorted(port.mac for port in there)) or 'no port at all'}",
            "compare the profile's crossover.ports with: ip -br link",
        )
    return found


def answer(context: Context) -> None:
    """Answer the peer's hellos on the cables in use, so that it can prove its own again."""
    found = read(context.root)
    if found is None:
        context.hellos.stop()
        return
    if context.hellos.answering == found:
        return
    declared = context.identity.me.crossover_ports
    used = {mac for mac, _ in found}
    ports = [p for p in candidates(context) if p.mac in used or p.mac in declared]
    context.hellos.start(context.identity, context.root, ports, found)
