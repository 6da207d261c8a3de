"""ksnode guest add: a domain of libvirt's becomes a guest of the pair.

Everything is judged before anything is made; then come its image, its XML and, last, the CIB. What
was made before a power cut is taken as it is when the same is typed again.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from firstboot import files, mount, pacemaker, unread, virsh
from firstboot.commands import NOT_FOUND, CommandError, Run
from firstboot.engine import Refused
from firstboot.exits import DIFFERENT, OK
from firstboot.guest import cluster, domain, images, listing, resource
from firstboot.guest.cluster import NotYet
from firstboot.guest.domain import Domain, Image
from firstboot.guest.resource import Guest
from firstboot.node import BRIDGE, Identity
from firstboot.pacemaker import Cluster
from firstboot.render import libvirt
from firstboot.steps.guests import QEMU_READER
from firstboot.verbs.converging import alone

VIRT_INSTALL_TIMEOUT_S = 300.0


def add(identity: Identity, root: Path, arguments: argparse.Namespace, run: Run) -> int:
    """Check and complete it, make what is missing, give it to pacemaker, see it start."""
    name = arguments.name
    with alone(root):
        state = cluster.ready(root, run)
        _leasing(identity, root)
        live = pacemaker.configuration(run)
        guests = resource.guests(live)
        guest = _wish(identity, guests, arguments)
        made = _described(identity, arguments, run)
        _unique(identity, root, run, state, guests, made)
        sizes = _sized(identity, root, run, arguments, made)
        added = resource.additions(identity.pair, guest)
        if clash := resource.clashes(live, added):
            raise Refused(f"the CIB has {', '.join(clash)} already", "choose another name")
        _keeps_what_is_there(root, guest, made, arguments)
        if arguments.dry_run:
            print(_plan(guest, made, sizes, added))
            return DIFFERENT
        for image, size in sizes.items():
            images.make(root, image, size, run)
        target = images.below(root, guest.config)
        files.make_folder(target.parent, 0o755)
        files.replace(target, made.text.encode(), 0o600)
        pacemaker.extend(run, added)
    print("".join(f"ksnode: completed: {told}\n" for told in made.completed), end="")
    most_s = resource.OPERATIONS["start"][0] * identity.pair.cluster.timeout_factor
    cluster.wait(lambda: _not_started(run, name), most_s, f"crm_mon -1rf; {_again(name)}")
    (node,) = cluster.started_on(pacemaker.status(run) or state, name) or ["no node"]
    print(f"ksnode: {name} is a guest of this pair, and runs on {node}")
    return OK


def _again(name: str) -> str:
    return f"crm_resource --cleanup --resource {name}; ksnode guest list"


def _not_started(run: Run, name: str) -> list[str]:
    state = pacemaker.status(run)
    if state is not None and cluster.started_on(state, name):
        return []
    failed = cluster.failures(state, name)
    if failed:
        raise NotYet(f"{name} does not start: {'; '.join(failed)}\nnext: {_again(name)}")
    return [f"{name} is not started"]


def _leasing(identity: Identity, root: Path) -> None:
    """Whether a guest that starts here will hold leases that the other node sees."""
    place = identity.pair.gfs2.mount
    if faults := mount.faults(mount.table(root), place):
        raise Refused("; ".join(faults), "ksnode why; crm_mon -1rf")
    kept = (libvirt.QEMU_CONF, libvirt.LOCKD_CONF)
    wanted = [file for file in libvirt.render(identity) if file.path in kept]
    if odd := files.differing(root, wanted) + unread.marked(root, QEMU_READER):
        raise Refused(f"guests would not be leased: {'; '.join(odd)}", "ksnode run")


def _wish(identity: Identity, guests: Mapping[str, Guest], arguments: argparse.Namespace) -> Guest:
    """What pacemaker will be told. Raises Refused."""
    name, again = arguments.name, f"ksnode guest add {arguments.name}"
    if name in guests:
        raise Refused(f"{name} is a guest of this pair already", "ksnode guest list")
    nodes = [node.name for node in identity.pair.nodes]
    if arguments.prefer is not None and arguments.prefer not in nodes:
        evidence = f"{arguments.prefer} is none of {' and '.join(nodes)}"
        raise Refused(evidence, f"{again} --prefer {identity.node} ...")
    if unknown := [other for other in arguments.after if other not in guests]:
        evidence = f"there is no guest {', '.join(unknown)} to start after"
        raise Refused(evidence, "ksnode guest list; add that one first")
    if not 0 <= arguments.priority <= 1000:
        raise Refused("a priority is 0 to 1000", f"{again} --priority 10 ...")
    return Guest(
        name,
        domain.place_of(identity.pair, name),
        (arguments.prefer,) if arguments.prefer else (),
        tuple(dict.fromkeys(arguments.after)),
        arguments.priority,
    )


def _described(identity: Identity, arguments: argparse.Namespace, run: Run) -> Domain:
    name, given = arguments.name, arguments.xml
    if (given is None) == (not arguments.rest):
        raise Refused(
            "it takes a file of XML, or arguments for virt-install behind --",
            f"ksnode guest add {name} --xml FILE, or: ksnode guest add {name} -- --import ...",
        )
    if given is not None:
        way_out = f"change {given}, then: ksnode guest add {name} --xml {given}"
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{given} can't be read: {error}", "name another") from None
        return domain.complete(text, name, identity.pair, way_out)
    text = _virt_install(name, arguments.rest, run)
    disk = f"{identity.pair.gfs2.mount}/{name}.raw,format=raw,size=20"
    way_out = f"other arguments behind --, as --network bridge={BRIDGE} --disk {disk}"
    return domain.complete(text, name, identity.pair, way_out)


def _virt_install(name: str, arguments: Sequence[str], run: Run) -> str:
    """What virt-install would define; it makes nothing."""
    ours = ("--name", name, "--print-xml")
    argv = ["virt-install", "--connect", virsh.HERE, *arguments, *ours]
    try:
        return run(argv, timeout_s=VIRT_INSTALL_TIMEOUT_S).stdout
    except CommandError as error:
        if error.result.returncode == NOT_FOUND:
            raise Refused("virt-install is not installed", "dnf install virt-install") from None
        said = " ".join(error.result.stderr.split())
        raise Refused(f"virt-install: {said}", "other arguments behind --") from None


def _unique(
    identity: Identity,
    root: Path,
    run: Run,
    state: Cluster,
    guests: Mapping[str, Guest],
    made: Domain,
) -> None:
    """Raises Refused where another guest, or libvirt itself, has what this one wants."""
    mine = domain.claims(made.text)
    for other in guests.values():
        text = cluster.description(root, other)
        if text is None:
            raise Refused(f"{other.config}, {other.name}'s XML, can't be read", "ksnode guest list")
        if both := sorted(mine & domain.claims(text)):
            raise Refused(
                f"{other.name} has {' and '.join(both)} as well",
                f"virt-clone makes others; or: ksnode guest remove {other.name}",
            )
    for node in identity.pair.nodes:
        if node.name in state.online:
            uri = virsh.HERE if node.name == identity.node else virsh.there(node.name)
            if made.name in listing.domains(virsh.listed(run, uri)):
                evidence = f"libvirt has a domain {made.name} on {node.name}, beside the cluster"
                raise Refused(evidence, listing.adoption(made.name, node.name))


def _sized(
    identity: Identity, root: Path, run: Run, arguments: argparse.Namespace, made: Domain
) -> dict[Image, str]:
    """The images to be made, and how large. Raises Refused with all that is wrong with them."""
    place = identity.pair.gfs2.mount
    found = images.faults(root, [*made.images, *made.reads], place, run)
    found += [f"{image.path} is not there" for image in images.missing(root, made.reads)]
    if found:
        raise Refused("; ".join(found), f"put that right, then: ksnode guest add {made.name}")
    missing = images.missing(root, made.images)
    sizes = images.sizes(arguments.rest)
    if arguments.size is not None:
        if not images.SIZE.fullmatch(arguments.size) or len(missing) != 1:
            raise Refused(
                f"--size {arguments.size} is for one image that is not there, as 20G; "
                f"not there: {', '.join(image.path for image in missing) or 'none'}",
                f"leave --size out, or make the images first: {_commands(missing)}",
            )
        sizes = {missing[0].path: arguments.size}
    if unsized := [image for image in missing if image.path not in sizes]:
        evidence = f"not there: {', '.join(image.path for image in unsized)}"
        raise Refused(evidence, f"--size 20G for a new one; or: {_commands(unsized)}")
    return {image: sizes[image.path] for image in missing}


def _command(image: Image, size: str) -> str:
    return shlex.join(["qemu-img", *images.creation(image, size)])


def _commands(missing: Sequence[Image]) -> str:
    lines = (_command(image, "20G") for image in missing)
    return "; ".join(lines) or "none is missing"


def _keeps_what_is_there(
    root: Path, guest: Guest, made: Domain, arguments: argparse.Namespace
) -> None:
    """The XML of a guest that was removed is the only thing that still tells what it was."""
    before = cluster.description(root, guest)
    given = arguments.xml is not None and Path(arguments.xml).resolve()
    if before in (None, made.text) or given == images.below(root, guest.config).resolve():
        return
    raise Refused(
        f"{guest.config} is there already, of a guest that was removed, and says something else",
        f"ksnode guest add {guest.name} --xml {guest.config}; or: rm {guest.config}",
    )


def _plan(guest: Guest, made: Domain, sizes: Mapping[Image, str], added: str) -> str:
    lines = [f"would be completed: {told}" for told in made.completed]
    lines += [f"would run: {_command(i, s)}" for i, s in sizes.items()]
    lines += [f"would write: {guest.config} (0600)", f"would be put into the CIB:\n{added}"]
    return "\n".join(lines).rstrip()
