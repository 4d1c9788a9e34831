"""Telemetry in the words of others to samples in ours: foreign bytes -> points -> samples.

- `points.py`       pure: what every format is read into: numbers and distributions with identity, time and meaning
- `otlp.py`         OTLP metrics, protobuf and JSON, as the OpenTelemetry collector's Kafka exporter and SDKs write them
- `collectd.py`     collectd's write_kafka: JSON, Command and Graphite
- `remote_write.py` Prometheus remote write 1.0 and 2.0 (`prom_messages.py`: what we read of their messages)
- `native.py`       Prometheus' native histograms
- `prom_types.py`   what a Prometheus sample is, and histograms put together from their parts
- `identity.py`     whose telemetry it is: from resource attributes or labels, never from the key of a message
- `units.py`        UCUM and other unit names to one unit a dimension
- `rates.py`        running totals to rates, running histograms to what happened between two points
- `layouts.py`      buckets of different layouts beside each other: coarser scales, wider zero buckets
- `quantiles.py`    quantiles of buckets
- `canonical.py`    which foreign metrics are the contract's own, and how they are made of their parts
- `converter.py`    points to samples, with one row of state a series
- `formats.py`      the formats by name
- `agent.py`        runs a converter on Faust: messages of a foreign topic in, `health-signals` out
"""
