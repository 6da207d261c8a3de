"""What introduces the nodes to each other, as values; `builder.introduction` makes and keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """PEM texts of one node: its certificate, its key, and the CA's certificate.

    `link_key` is the pair's: what the hellos on the crossover cables are signed with. `kind` is
    "introduction" for two new nodes, "rejoin" where a living pair's ticket takes its place.
    """

    certificate: str
    key: str
    ca: str
    link_key: str
    kind: str = "introduction"


@dataclass(frozen=True, slots=True, repr=False)
class Introduction:
    """A leaf per node name; by a ticket there is one node's alone."""

    leaves: dict[str, Leaf]

    def of(self, node: str) -> Leaf:
        """The leaf of that node."""
        return self.leaves[node]
