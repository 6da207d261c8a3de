"""One package of primary.xml."""

from xml.etree.ElementTree import Element

from builder.packages.model import Package
from builder.packages.version import Capability

_KINDS = ("provides", "requires", "conflicts", "obsoletes", "recommends")


class PackageReader:
    """Turns elements into packages; equal capabilities are kept once, which saves most memory."""

    def __init__(self, repository: str, modules: dict[str, str]) -> None:
        self._repository = repository
        self._modules = modules
        self._seen: dict[Capability, Capability] = {}
        # Not sys.intern, whose table stays as large as it once was.
        self._words: dict[str, str] = {}

    def package(self, element: Element) -> Package:
        """Read one package.

        Raises:
            ValueError, AttributeError, KeyError: it lacks what every package has.
        """
        name, arch = element.findtext("name"), element.findtext("arch")
        if not name or not arch:
            raise ValueError("it has no name or architecture")
        version = element.find("version").attrib  # type: ignore[union-attr]
        evr = f"{version.get('epoch') or 0}:{version['ver']}-{version['rel']}"
        checksum = element.find("checksum")
        size = element.find("size").get("package", "")  # type: ignore[union-attr]
        body = element.find("format")
        kinds = {kind: self._capabilities(body, kind) for kind in _KINDS}
        return Package(
            name=self._word(name),
            evr=self._word(evr),
            arch=self._word(arch),
            repository=self._repository,
            location=element.find("location").attrib["href"],  # type: ignore[union-attr]
            size=int(size),
            checksum=(
                self._word(checksum.get("type", "")),  # type: ignore[union-attr]
                (checksum.text or "").strip(),  # type: ignore[union-attr]
            ),
            files=tuple(file.text or "" for file in element.iterfind("format/file")),
            # modules.yaml writes every epoch.
            module=self._modules.get(f"{name}-{evr}.{arch}", ""),
            **kinds,
        )

    def _capabilities(self, body: Element | None, kind: str) -> tuple[Capability, ...]:
        entries = body.iterfind(f"{kind}/entry") if body is not None else ()
        return tuple(self._capability(entry.attrib) for entry in entries)

    def _capability(self, attributes: dict[str, str]) -> Capability:
        flag, evr = attributes.get("flags", ""), ""
        if flag:
            evr = attributes.get("ver", "")
            if epoch := attributes.get("epoch"):
                evr = f"{epoch}:{evr}"
            if release := attributes.get("rel"):
                evr = f"{evr}-{release}"
        new = Capability(self._word(attributes["name"]), self._word(flag), self._word(evr))
        return self._seen.setdefault(new, new)

    def _word(self, text: str) -> str:
        return self._words.setdefault(text, text)
