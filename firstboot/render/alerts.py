"""The program by which pacemaker has this node tell people what befalls the pair.

pacemaker runs it as hacluster:haclient with that user's groups, under SELinux in cluster_t, which
EL9's policy leaves unconfined (rhcs.te; where that was taken away the boolean
cluster_can_network_connect lets it out). So it lies where fence scripts do (bin_t) and may be run
by all, as may the agent's archive; whom to tell it reads from a file without a secret. The two
secrets, a webhook's address and the progress page's token, are root's: a copy for hacluster alone
is made of them (teller.py). Their way is no argument and no part of the CIB, which haclient reads.
"""

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

PATH = PurePosixPath("/etc/ksbuild/alerts.json")
AGENT = PurePosixPath("/usr/local/libexec/ksbuild/alert")
ARCHIVE = "/usr/lib/ksbuild/firstboot.pyz"
_SCRIPT = f"""#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "{ARCHIVE}")
from firstboot.alerting import main

sys.exit(main(sys.argv[1:]))
"""


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Whom to tell, and the program."""
    pair = identity.pair
    settings = {"pair": pair.name, "node": identity.node, **asdict(pair.alerts)}
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    return ConfigFile(PATH, text), ConfigFile(AGENT, _SCRIPT, 0o755)


def element(timeout: str) -> ET.Element:
    """<alerts> of the CIB, which is loaded once: the same whomever the profile tells today.

    All attributes, as the program knows by their name which are of health. `timeout` is how long
    pacemaker lets the program run for one event, 30 s without it (Pacemaker Explained, "Alerts").
    """
    alerts = ET.Element("alerts")
    alert = ET.SubElement(alerts, "alert", {"id": "ks-alert", "path": str(AGENT)})
    meta = ET.SubElement(alert, "meta_attributes", {"id": "ks-alert-meta_attributes"})
    name = {"id": "ks-alert-meta_attributes-timeout", "name": "timeout", "value": timeout}
    ET.SubElement(meta, "nvpair", name)
    select = ET.SubElement(alert, "select")
    for kind in ("attributes", "fencing", "nodes", "resources"):
        ET.SubElement(select, f"select_{kind}")
    return alerts
