"""What is served, made before the first request: each node's kickstart, hardware and answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from builder.plan import Plan, bootanswer, tokens
from builder.plan.bootanswer import Answer, Images
from builder.profile.model import NodeSection, Profile
from builder.serve.admission import Hardware
from builder.serve.store import Key


@dataclass(frozen=True, slots=True, repr=False)
class Served:
    """One node. `kickstart` is its text in pieces: the agent in it is the same for all."""

    key: Key
    profile: Profile
    section: NodeSection
    secret: str
    hardware: Hardware
    kickstart: tuple[bytes, ...]
    images: Images

    def token(self, generation: int) -> str:
        """What fetches the kickstart in that generation."""
        return tokens.kickstart(self.secret, self.key.node, generation)

    def digest(self, generation: int) -> str:
        """What the state keeps of that token."""
        return tokens.digest(self.token(generation))

    def install(self, base: str, generation: int) -> Answer:
        """What its boot loader is told while it may be installed; `base` is this server's URL."""
        url = f"{base}/ks/{self.token(generation)}"
        return bootanswer.install(
            self.profile, self.section, url, self.images, again=generation > 1
        )


@dataclass(frozen=True, slots=True)
class ServedPair:
    """A pair as the page names it."""

    id: str
    name: str
    nodes: tuple[str, ...]
    file: str


@dataclass(repr=False)
class Catalog:
    """All pairs, by every key that a request may come with."""

    page: str
    pairs: dict[str, ServedPair] = field(default_factory=dict)
    nodes: dict[Key, Served] = field(default_factory=dict)
    by_mac: dict[str, Served] = field(default_factory=dict)
    by_progress: dict[str, Key] = field(default_factory=dict)
    agents: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, plan: Plan, secret: str, file: str, images: Images) -> None:
        """Take a pair in. Raises ValueError where another one has its id, or a port of it."""
        pair = plan.profile.pair
        if pair.id in self.pairs:
            raise ValueError(f"{file} and {self.pairs[pair.id].file} are the same pair")
        names = tuple(node.name for node in plan.profile.node)
        self.pairs[pair.id] = ServedPair(pair.id, pair.name, names, file)
        for section in plan.profile.node:
            key = Key(pair.id, section.name)
            text = plan.kickstarts[section.name].encode()
            macs = frozenset(section.uplink.ports)
            pieces = tuple(self._pieces(text))
            served = Served(
                key,
                plan.profile,
                section,
                secret,
                Hardware(macs, section.serial),
                pieces,
                images,
            )
            self.nodes[key] = served
            self.by_progress[tokens.digest(tokens.progress(secret, section.name))] = key
            for mac in (*section.uplink.ports, *section.crossover.ports):
                if mac in self.by_mac:
                    other = self.by_mac[mac].key.node
                    raise ValueError(f"{file}: {section.name} and {other} both have port {mac}")
                self.by_mac[mac] = served

    def _pieces(self, text: bytes) -> Iterator[bytes]:
        """The text cut where its agent begins and ends, so that memory holds that once."""
        before, mark, rest = text.partition(b"<<'KSBUILD_AGENT'")
        line, end, after = rest.partition(b"\nKSBUILD_AGENT\n")
        yield before + mark
        yield self.agents.setdefault(line, line)
        yield end + after


def catalog(
    plans: Iterable[tuple[Plan, str, str]],
    images: Callable[[Profile], Images] = bootanswer.images,
) -> Catalog:
    """The catalog of (plan, the pair's key, the profile's file); the first one's opens the page."""
    made: Catalog | None = None
    for plan, secret, file in plans:
        made = made or Catalog(tokens.digest(tokens.page(secret)))
        made.add(plan, secret, file, images(plan.profile))
    if made is None:
        raise ValueError("nothing to serve")
    return made
