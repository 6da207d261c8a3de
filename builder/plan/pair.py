"""The profile's pair as the nodes will know it."""

from builder.plan.disk import grain
from builder.profile.model import Access, NodeSection, Profile, StorageSection
from builder.profile.monitoring import Monitoring
from builder.profile.services import Alerts, FenceDevice
from firstboot import node as its
from firstboot import thresholds, whom


def pair(profile: Profile) -> its.Pair:
    """What node.json says of the pair: everything the agents work with, nothing else."""
    crossover, uplink, drbd = profile.crossover, profile.uplink, profile.drbd
    first, second = (_node(node) for node in profile.node)
    ksm, guests, gfs2 = profile.ksm, profile.guests, profile.gfs2
    return its.Pair(
        id=profile.pair.id,
        name=profile.pair.name,
        platform=profile.pair.platform,
        ssh_passwords=any(u.password_hash and not u.ssh_keys for u in profile.access.users),
        accounts=_accounts(profile.access),
        time_servers=tuple(profile.time.servers),
        uplink=its.Uplink(uplink.mode, uplink.vlan, uplink.mtu),
        crossover=its.Crossover(crossover.mode, crossover.miimon_ms, crossover.mtu),
        bridges=tuple(its.Bridge(b.name, b.vlan, tuple(b.addresses or ())) for b in profile.bridge),
        storage=_storage(profile.storage),
        drbd=its.Drbd(drbd.port, drbd.resync_mib_s, drbd.verify),
        gfs2=its.Gfs2(gfs2.journal_mib, gfs2.mount),
        cluster=its.Cluster(**profile.cluster.model_dump()),
        ksm=its.Ksm(ksm.enabled, ksm.monitor_interval_s, ksm.threshold_percent, ksm.sleep_ms),
        guests=its.Guests(guests.dirty_mib, guests.migrations),
        monitoring=_monitoring(profile.monitoring),
        alerts=_alerts(profile.alerts),
        nodes=(first, second),
    )


def _alerts(alerts: Alerts) -> whom.Alerts:
    to = tuple(alerts.mail_to)
    return whom.Alerts(to, alerts.mail_from, alerts.relay, alerts.relay_port, alerts.webhook_file)


def _accounts(access: Access) -> tuple[its.Account, ...]:
    root = its.Account("root", tuple(access.ssh_keys))
    return (root, *(its.Account(user.name, tuple(user.ssh_keys)) for user in access.users))


def _monitoring(section: Monitoring) -> thresholds.Monitoring:
    values = section.model_dump()
    return thresholds.Monitoring(**values | {"quiet_sensors": tuple(section.quiet_sensors)})


def _storage(storage: StorageSection) -> its.Storage:
    return its.Storage(
        os_gib=storage.os_gib,
        grain_sectors=grain((storage.raid_strip_kib or 0) * storage.raid_data_disks),
        raid_degraded=storage.raid_degraded,
    )


def _node(section: NodeSection) -> its.Node:
    uplink = section.uplink
    return its.Node(
        name=section.name,
        serial=section.serial,
        uplink=its.NodeUplink(
            tuple(uplink.ports), uplink.address, uplink.gateway, tuple(uplink.dns)
        ),
        crossover_address=section.crossover.address,
        crossover_ports=tuple(section.crossover.ports),
        fencing=tuple(_device(device) for device in section.fencing),
    )


def _device(device: FenceDevice) -> its.FenceDevice:
    wanted = device.set_address
    return its.FenceDevice(
        **device.model_dump(exclude={"set_address"}),
        set_address=f"{device.address}/{wanted.prefix}" if wanted else None,
        set_gateway=wanted.gateway if wanted else None,
    )
