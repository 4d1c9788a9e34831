"""Assets and dependencies from OpenTelemetry: bytes -> resources and spans -> what was seen -> assets.

- `reading.py`    pure: OTLP traces whole, of metrics and logs the resources; protobuf and JSON
- `peers.py`      pure: the other side of a call by the attributes of the caller's span
- `resources.py`  pure: what a resource's attributes say of an asset
- `matching.py`   pure: calls by parent relation, in any order, in bounded memory
- `sightings.py`  pure: assets and edges seen, until they lapse
- `provider.py`   the `DiscoveryProvider`
- `feeds.py`      where the bytes come from: a file; topics are in `topology.discover`
"""
