"""The tree for network boot, from profiles and a source to a folder."""

import contextlib
import grp
import hashlib
import ipaddress
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from builder.cli.outcome import ENVIRONMENT, PROFILE, REFUSED, fail
from builder.cli.packages import need_network, read_extras
from builder.cli.planning import Prepared, prepare
from builder.cli.progress import progress

if TYPE_CHECKING:
    from builder.media.folder import Staging
    from builder.media.pxe import Served
    from builder.media.source import Source
    from builder.packages.extras import Extras
    from builder.plan import Plan
    from builder.plan.bootmenu import Medium
    from builder.plan.netboot import Host, Site
    from builder.profile.model import Profile


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says, checked; `when` dates what is written, seconds since 1970."""

    profiles: tuple[Path, ...]
    url: str
    out: Path
    pool: tuple[str, str] | None
    group: int | None
    node: str | None
    ticket: Path | None
    packages: Path | None
    pxelinux: bytes | None
    offline: bool
    force: bool
    dry_run: bool
    quiet: bool
    when: int


@dataclass(slots=True)
class Made:
    """What there is to tell: `files` are path -> sha256 of what is not the source's."""

    served: "Served"
    demonstration: bool
    pairs: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    copied: int = 0


def tree_url(url: str) -> str:
    """The address without a slash at its end. Raises BadParameter where loaders cannot use it."""
    if not re.fullmatch(r"http://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?", url):
        raise click.BadParameter(
            f"{url!r} is not http://HOST[:PORT][/PATH]; https is none either: a server's firmware, "
            "loaders and installer have no certificate to check it with",
            param_hint="--url",
        )
    return url.rstrip("/")


def pool_of(text: str | None) -> tuple[str, str] | None:
    """FIRST-LAST as two addresses. Raises BadParameter."""
    if text is None:
        return None
    try:
        first, last = (ipaddress.IPv4Address(each) for each in text.split("-"))
    except ValueError:
        first = last = ipaddress.IPv4Address(0)
    if first >= last:
        raise click.BadParameter(f"{text!r} is not FIRST-LAST, two addresses", param_hint="--pool")
    return str(first), str(last)


def group_id(name: str | None) -> int | None:
    """The group's number; fails where this machine has none of that name."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        fail(ENVIRONMENT, f"there is no group {name} here", "getent group, for those there are")


class Builder:
    """One run: pairs are rendered one after the other, so that hundreds need no more memory."""

    def __init__(self, asked: Asked, source: "Source", image: BinaryIO) -> None:
        from builder.media.boot import STAGE2
        from builder.media.pxe import survey
        from builder.resources import templates

        self._asked, self._source, self._image = asked, source, image
        self._templates = templates()
        self._stage2 = source.has(STAGE2)
        self._dvd = self._stage2 and source.has("BaseOS/repodata/repomd.xml")
        self._made = Made(survey(image, source, packages=self._dvd), source.demonstration)
        self._extras: dict[tuple[str, ...], Extras | None] = {}
        self._network: dict[str, bool] = {}

    def build(self) -> Made:
        """Check everything, then write the folder, or only find out what would be written."""
        from builder.media import pxe
        from builder.plan import netboot

        asked = self._asked
        prepared = [
            prepare(path, None, keep=not asked.dry_run, node=asked.node, ticket=asked.ticket)
            for path in asked.profiles
        ]
        nodes = [host for each in prepared for host in self._hosts(each.profile)]
        self._refuse_clashes(prepared, nodes)
        loaders = pxe.loaders(self._source, asked.pxelinux)
        site = netboot.Site(
            url=asked.url,
            folder=str(asked.out.resolve()),
            demonstration=self._source.demonstration,
            pxelinux=asked.pxelinux is not None,
            pool=asked.pool,
        )
        if site.pool and netboot.pool_network(site, nodes) is None:
            what = f"{'-'.join(site.pool)} is in no network of the nodes"
            fail(PROFILE, what, "give addresses of the network that a node's uplink is in")
        with self._target() as staging:
            for each in prepared:
                self._pair(each, site, staging)
            self._own(netboot.site_files(site, nodes, self._templates), staging)
            if staging is not None:
                self._write(staging, loaders)
        return self._made

    def _hosts(self, profile: "Profile") -> "list[Host]":
        from builder.plan.netboot import hosts

        return hosts(profile, self._medium(profile))

    def _medium(self, profile: "Profile") -> "Medium":
        from builder.plan.bootmenu import Medium
        from builder.plan.netboot import LABEL, served

        if not self._dvd and profile.install.url is None and not self._source.demonstration:
            what = f"pair {profile.pair.name} installs from the network, and has no install.url"
            fail(PROFILE, what, "give install.url, or a DVD as --source")
        return Medium(
            volume_id=LABEL,
            demonstration=self._source.demonstration,
            grub_linux=self._source.grub_linux,
            grub_initrd=self._source.grub_initrd,
            stage2=self._stage2,
            dvd=self._dvd,
            menus=False,
            node=self._asked.node,
            served=served(self._asked.url, profile.pair.name),
        )

    def _refuse_clashes(self, prepared: list[Prepared], nodes: "list[Host]") -> None:
        from builder.plan.netboot import clashes

        seen: set[str] = set()
        for each in prepared:
            pair = each.profile.pair
            for what in (f"the name {pair.name}", f"the id {pair.id}"):
                if what in seen:
                    fail(PROFILE, f"two profiles have {what}", "each pair needs its own")
                seen.add(what)
        if found := list(clashes(nodes)):
            fail(PROFILE, "; ".join(found), "mend one of the two profiles")
        for each in prepared:
            self._warn(each)

    def _warn(self, prepared: Prepared) -> None:
        """Say on standard error what of a profile is not as it would be from a medium."""
        name, profile = prepared.profile.pair.name, prepared.profile
        if prepared.registration is not None:
            click.echo(
                f"ksbuild: warning: pair {name}: its kickstarts carry the activation key, and "
                "travel in clear text",
                err=True,
            )
        if profile.uplink.vlan is not None:
            click.echo(
                f"ksbuild: warning: pair {name}: the uplink is tagged, firmware starts untagged: "
                "put that network into dnsmasq.conf",
                err=True,
            )

    @contextlib.contextmanager
    def _target(self) -> "Iterator[Staging | None]":
        from builder.media import pxe
        from builder.media.folder import replacing_folder

        asked = self._asked
        if asked.dry_run:
            yield None
            return
        reuse = pxe.same_source(asked.out, self._made.served)
        free = shutil.disk_usage(asked.out.parent).free
        pxe.need_room(asked.out, free, 0 if reuse else pxe.bytes_to_copy(self._made.served))
        with replacing_folder(
            asked.out,
            pxe.MANIFEST,
            force=asked.force,
            private=pxe.PRIVATE,
            group=asked.group,
            reuse=reuse,
        ) as staging:
            yield staging

    def _pair(self, prepared: Prepared, site: "Site", staging: "Staging | None") -> None:
        from builder.packages.extras import FOLDER
        from builder.plan.netboot import hosts, pair_files

        extras = self._read_extras(prepared)
        plan = prepared.plan(
            extras=FOLDER if extras else "",
            dvd=self._dvd,
            network=self._needs_network(prepared, extras),
            served=site.url,
        )
        medium = self._medium(prepared.profile)
        self._own(pair_files(plan, medium, site, self._templates), staging)
        self._made.pairs.append(_summary(plan, hosts(plan.profile, medium)))

    def _read_extras(self, prepared: Prepared) -> "Extras | None":
        """The extra packages, looked at once for each set of keys."""
        keys = tuple(sorted(key_id for key in prepared.keys for key_id in key.key_ids))
        if keys not in self._extras:
            self._extras[keys] = read_extras(prepared.keys, self._asked.packages)
        return self._extras[keys]

    def _needs_network(self, prepared: Prepared, extras: "Extras | None") -> bool:
        """Whether more than the tree is needed, asked once for profiles that install alike."""
        from builder.plan.packages import packages

        install = prepared.profile.install
        alike = repr((packages(prepared.profile), install.url, install.repositories))
        alike += str(prepared.registration is None)
        if alike not in self._network:
            self._network[alike] = need_network(
                prepared, self._source, extras, dvd=self._dvd, offline=self._asked.offline
            )
        return self._network[alike]

    def _own(self, files: dict[str, bytes], staging: "Staging | None") -> None:
        for path, content in sorted(files.items()):
            if path in self._made.files:
                fail(REFUSED, f"two pairs of the tree have {path}", "each pair needs its own")
            self._made.files[path] = hashlib.sha256(content).hexdigest()
            if staging is not None:
                staging.put(path, content, self._asked.when)

    def _write(self, staging: "Staging", loaders: dict[str, bytes]) -> None:
        """The source's part, the extra packages, and last the manifest."""
        from builder.media import pxe
        from builder.plan.netboot import HTTP

        made, asked = self._made, self._asked
        with progress(f"writing {asked.out}", quiet=asked.quiet) as tell:
            made.copied = pxe.write_source(staging, made.served, self._image, tell)
        pxe.write_loaders(staging, loaders, asked.when)
        some = next((each for each in self._extras.values() if each), None)
        for path, file in some.files.items() if some else ():
            staging.take(f"{HTTP}/{path}", file, asked.when)
        manifest = pxe.manifest(
            asked.url,
            made.served,
            made.pairs,
            made.files,
            demonstration=self._source.demonstration,
        )
        staging.put(pxe.MANIFEST, manifest, asked.when)


def _summary(plan: "Plan", nodes: "list[Host]") -> dict[str, Any]:
    return {
        "name": plan.pair.name,
        "id": plan.pair.id,
        "plan_digest": plan.digest,
        "nodes": {node.name: list(node.macs) for node in nodes},
    }
