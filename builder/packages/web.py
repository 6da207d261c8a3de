"""Read a repository from a web server."""

import tempfile
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from builder.media.download import explained, shown
from builder.packages.errors import RepositoryError
from builder.packages.metadata import MOST_BYTES, read_repository
from builder.packages.model import Repository

# Seconds to connect, and between two packets.
_TIMEOUT = (10, 60)
_IN_MEMORY = 8 * 1024 * 1024
_CHUNK = 256 * 1024
_RED_HAT = "cdn.redhat.com"
_BY_ID = "give install.registration_file, and the repository's id as its name, without url"
_CHECK = "check the URL and the network; it has to be the folder that holds repodata/"


def read_url(
    url: str, *, name: str = "", session: requests.Session | None = None, ca: str | None = None
) -> Repository:
    """Read the repository at `url` (a baseurl: the folder that holds repodata/).

    Args:
        url: https or http; http proves nothing about what it serves, and %packages are checked
            by signature anyway.
        name: as users know it; the URL unless given.
        session: for client certificates (RHEL's CDN) or tests.
        ca: file with the certificates to trust instead of the system's.

    Raises:
        RepositoryError: not reachable, no repository, damaged, or larger than 512 MiB.
    """
    place = shown(url)
    if not url.startswith(("https://", "http://")):
        raise RepositoryError(f"{place} is no http or https URL", _CHECK)
    if session is None and urlsplit(url).hostname == _RED_HAT:
        raise RepositoryError(f"{place} answers only systems that are registered", _BY_ID)
    opened = session or _patient_session()

    def opener(inner: str) -> BinaryIO:
        return _download(opened, f"{url.rstrip('/')}/{inner}", ca)

    return read_repository(name or place, place, opener)


def _patient_session() -> requests.Session:
    """Three tries for connections that fail and servers that are busy."""
    session = requests.Session()
    retry = Retry(3, backoff_factor=0.3, status_forcelist=(502, 503, 504), raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _download(session: requests.Session, url: str, ca: str | None) -> BinaryIO:
    place = shown(url)
    # Unlinked already; freed when the reader closes it.
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
    try:
        with session.get(url, stream=True, timeout=_TIMEOUT, verify=ca or True) as response:
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise RepositoryError(f"{place} leads away from https", _CHECK)
            if response.status_code != requests.codes.ok:
                raise RepositoryError(f"{place} answers {response.status_code}", _CHECK)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                if file.tell() > MOST_BYTES:
                    raise RepositoryError(f"{place} has more than {MOST_BYTES} bytes", _CHECK)
    except requests.RequestException as error:
        file.close()
        raise RepositoryError(f"{place} {explained(error)}", _CHECK) from None
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return cast(BinaryIO, file)
