"""What introduces the nodes to each other, as values; `builder.introduction` makes and keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """PEM texts of one node: its certificate, its key, and the CA's certificate.

    `link_key` is the pair's: what the hellos on the crossover cables are signed with.
    """

    certificate: str
    key: str
    ca: str
    link_key: str


@dataclass(frozen=True, slots=True, repr=False)
class Introduction:
    """A leaf per node name."""

    leaves: dict[str, Leaf]

    def of(self, node: str) -> Leaf:
        """The leaf of that node."""
        return self.leaves[node]
