"""The UUID a Redfish BMC gives its computer system (DSP0266; ComputerSystem's property UUID)."""

import base64
import http.client
import json
import ssl
from typing import Any

ROOT = "/redfish/v1/Systems"
TIMEOUT_S = 10.0
MOST_BYTES = 1024 * 1024
MOST_SYSTEMS = 8


def uuids(address: str, port: int, user: str, password: str) -> list[str]:
    """Those of its systems; none when it does not answer as Redfish does.

    As fence_redfish with ssl_insecure it takes any certificate: a BMC signs its own.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT_S, context=context)
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        members = _get(connection, login, ROOT).get("Members")
        listed = members if isinstance(members, list) else []
        paths = [member.get("@odata.id") for member in listed if isinstance(member, dict)]
        systems = [_get(connection, login, path) for path in paths[:MOST_SYSTEMS]]
    except (OSError, http.client.HTTPException, ValueError):
        return []
    finally:
        connection.close()
    return [system["UUID"] for system in systems if isinstance(system.get("UUID"), str)]


def _get(connection: http.client.HTTPSConnection, login: str, path: Any) -> dict[str, Any]:
    if not isinstance(path, str) or not path.startswith("/redfish/"):
        raise ValueError("no path of Redfish's")
    headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read(MOST_BYTES + 1)
    parsed = json.loads(body) if answer.status == http.client.OK else None
    if len(body) > MOST_BYTES or not isinstance(parsed, dict):
        raise ValueError("no answer of Redfish's")
    return parsed
