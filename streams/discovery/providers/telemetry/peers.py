"""The other side of a call, by the attributes of the span of the side that calls. Pure.

Semantic conventions 1.20 to 1.38, older names after newer ones. What is first in this list is taken:

    messaging.system + messaging.destination.name   -> <source>/queue/<system>/<destination>
    db.system.name + server.address                 -> <source>/db/<system>/<host:port>[/<namespace>]
    peer.service                                    -> the id that telemetry of a service of this name has
    server.address                                  -> <source>/address/<host:port>

A loopback address is another place on each host and names nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas.records import Asset, AssetKind
from streams.discovery.providers.telemetry.reading import Attributes
from streams.kit.addresses import ADDRESS, before_a_port, host_port

Identify = Callable[[Attributes], str]
"""The asset id of telemetry with these resource attributes; "" = nobody's."""
HOSTS = ("server.address", "net.peer.name", "network.peer.address", "net.sock.peer.addr")
PORTS = ("server.port", "net.peer.port", "network.peer.port")
QUEUES = ("messaging.destination.name", "messaging.destination")
SYSTEMS, SPACES = ("db.system.name", "db.system"), ("db.namespace", "db.name")
NAMES = (*HOSTS, *PORTS, *QUEUES, *SYSTEMS, *SPACES, "messaging.system", "peer.service")
MOST_CHARACTERS = 100
"""Of each part of an id; one that a client made up may have no end."""


def peer_of(source: str, attributes: Attributes, identify: Identify) -> Asset | None:
    """None: the span doesn't say."""
    if any(len(attributes.get(name, "")) > MOST_CHARACTERS for name in NAMES):
        return None
    found = _queue(source, attributes) or _database(source, attributes) or _service(attributes, identify)
    return found or _address(source, attributes)


def _first(attributes: Attributes, *names: str) -> str:
    return next((attributes[name] for name in names if attributes.get(name)), "")


def _where(attributes: Attributes) -> str:
    host = _first(attributes, *HOSTS)
    if not host or host == "localhost" or host.startswith("127.") or host in ("::1", "0.0.0.0", "::"):
        return ""
    port = _first(attributes, *PORTS)
    return host_port(host, port) if port else before_a_port(host)


def _weak(where: str) -> tuple[str, ...]:
    return (ADDRESS + where,) if where else ()


def _queue(source: str, attributes: Attributes) -> Asset | None:
    system = attributes.get("messaging.system", "")
    name = _first(attributes, *QUEUES)
    flags = ("messaging.destination.temporary", "messaging.destination.anonymous", "messaging.temp_destination")
    temporary = "true" in [attributes.get(flag) for flag in flags]
    if not system or not name or temporary:
        return None
    labels = {"messaging.system": system}
    return Asset(id=f"{source}/queue/{system}/{name}", name=name, kind=AssetKind.QUEUE, labels=labels)


def _database(source: str, attributes: Attributes) -> Asset | None:
    system, where = _first(attributes, *SYSTEMS), _where(attributes)
    if not system or not where:
        return None
    space = _first(attributes, *SPACES)
    path = f"{where}/{space}" if space else where
    return Asset(
        id=f"{source}/db/{system}/{path}",
        name=space or where,
        kind=AssetKind.INFRASTRUCTURE,
        labels={"db.system.name": system},
        weak_keys=() if space else _weak(where),  # of several databases on one server none is the server
    )


def _service(attributes: Attributes, identify: Identify) -> Asset | None:
    name = attributes.get("peer.service", "")
    asset_id = identify({"service.name": name}) if name else ""
    return Asset(id=asset_id, name=name, kind=AssetKind.MICROSERVICE) if asset_id else None


def _address(source: str, attributes: Attributes) -> Asset | None:
    """Of no kind: whatever else is known by this address is it."""
    where = _where(attributes)
    return Asset(id=f"{source}/address/{where}", name=where, weak_keys=_weak(where)) if where else None
