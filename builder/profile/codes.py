"""Every problem code: its title and what to do, for `ksbuild explain` and the manual."""

CODES: dict[str, tuple[str, str]] = {
    "KS101": (
        "not a profile at all",
        "The file is not UTF-8 or far too large. A profile is a page of TOML: start from\n"
        "`ksbuild init --example pair.toml`.",
    ),
    "KS102": (
        "not TOML",
        "The text breaks TOML's grammar at that place. Often: a value without quotes (a cluster\n"
        'named 00014 is "00014"), a table or key that was given before, a missing bracket.',
    ),
    "KS103": (
        "unknown key",
        "No such key in this section. ksbuild never ignores one: a misspelt key would be a\n"
        "setting that silently does nothing.",
    ),
    "KS104": ("a key is missing", "The profile cannot be understood without it."),
    "KS105": (
        "a value of a wrong type or outside its limits",
        "Numbers carry no quotes, texts do; limits stand in the manual's table of keys.",
    ),
    "KS106": (
        "a value that makes no sense",
        "A MAC, address, name, hash or key that cannot be one. The value is not repeated, for it\n"
        "may be a secret.",
    ),
    "KS110": (
        "both nodes have one name",
        "A node's name is its host name: uname -n, DRBD, corosync.",
    ),
    "KS111": ("a MAC stands twice", "Every port of both servers has its own permanent MAC."),
    "KS112": ("different networks", "The two nodes' addresses of one kind lie in one network."),
    "KS113": ("an address stands twice", "Give each its own."),
    "KS114": ("numbers of ports differ", "One crossover cable joins one port of each node."),
    "KS115": (
        "networks overlap",
        "Uplink, crossover and each bridge with addresses are different networks; else packets\n"
        "for the peer leave by the wrong port.",
    ),
    "KS116": ("gateway outside its network", "The node could not reach it."),
    "KS117": ("a disk described by nothing", "Exactly one disk of the server must match."),
    "KS118": ("sizes upside down", "The smallest size comes first."),
    "KS119": ("a disk too small", "Operating system, 1 GiB of data and rounding need their room."),
    "KS120": ("nobody could log in", "The nodes would install and be closed to everyone."),
    "KS121": ("serial number stands twice", "By it each server knows which node it is."),
    "KS122": ("one disk for two servers", "Shared-nothing: each node has a disk of its own."),
    "KS123": (
        "data disks without strip",
        "Only strip times data disks gives a stripe to align to.",
    ),
    "KS124": ("a user stands twice", "Names of accounts are used once; root has its own keys."),
    "KS125": (
        "an interface name is taken",
        "br0, bond0, uplink, ksup1, ksup2 and lo are used by ksbuild itself.",
    ),
    "KS126": ("a VLAN is in use", "One bridge for each VLAN; the uplink's own is br0's."),
    "KS127": (
        "a node's name is taken",
        "In the folder of keys each certificate bears its node's name, beside ca and link.",
    ),
    "KS130": (
        "no fence device",
        "Both nodes write to one file system. If one is lost the other must be sure that it is\n"
        "off before it goes on; a fence device is that certainty. Without one, data gets lost.",
    ),
    "KS131": ("a fence device is not complete", "A BMC needs its address, custom a command."),
    "KS132": ("one BMC for two servers", "Each node would cut its own power."),
    "KS133": (
        "a BMC where it cannot be",
        "It is reached over the local network; over the crossover cables there is only the peer.",
    ),
    "KS134": (
        "a warning: one level of fencing",
        "A BMC is fed by its server. When the server loses all power the BMC cannot say that\n"
        "it is off, and the other node rightly stops writing until a human does.",
    ),
    "KS135": (
        "a fence device without a password",
        "By IPMI each node makes the account in its own BMC and hands it to the other. For\n"
        "Redfish the account that IPMI made is tried; a BMC that keeps the two apart stops the\n"
        "pair before anything is fired. Then, and where there is no in-band IPMI at all, the\n"
        "password comes from a file on the node.",
    ),
    "KS136": (
        "an address that no node can give its BMC",
        "Each node sets its own BMC's address by in-band IPMI. It has one BMC; the address is an\n"
        "IPv4 address, and the gateway another one in its network.",
    ),
    "KS137": (
        "a certificate for nothing",
        "progress.certificate goes with an https url: by it the nodes know the server.",
    ),
    "KS138": (
        "a warning: progress in clear text",
        "Over plain http whoever listens on that network reads how far the nodes are, and the\n"
        "token by which they tell it. All it is good for is telling lies on the page.",
    ),
    "KS139": (
        "nobody could be told",
        "Mail goes from mail_from to mail_to by relay. A webhook's URL stands in a file on each\n"
        "node, whose path is given: it may hold a token, and a profile goes from hand to hand.",
    ),
    "KS140": ("a repository stands twice", "Names of repositories are used once."),
    "KS141": ("a key without its fingerprint", "A pinned key is a file and what it must be."),
    "KS142": (
        "keys pinned here and not there",
        "With any key pinned, every installed package must be signed by one of the pinned keys:\n"
        "the distribution's own belongs to them.",
    ),
    "KS143": (
        "a repository without a url",
        "Red Hat's own repositories are named by their ids alone, such as\n"
        "rhel-9-for-x86_64-highavailability-rpms: the registration with Red Hat brings them.",
    ),
    "KS144": (
        "no key is pinned",
        "With a key and its fingerprint in the profile the nodes want every package signed by it.\n"
        "Without, they take what the repositories give, as their addresses are trusted.",
    ),
    "KS145": (
        "thresholds upside down",
        "A file system is first rather full, a warning, and then too full, which is critical.",
    ),
}
