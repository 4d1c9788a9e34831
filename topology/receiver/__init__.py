"""Telemetry over HTTP and UDP to topics: stateless, so that as many may run as one likes.

- `requests.py`  pure: a request to the records that it carries, or to why it is refused
- `bodies.py`    pure: compressed bodies, within limits
- `server.py`    HTTP: 2xx only once Kafka has confirmed
- `statsd.py`    UDP, aggregated
- `running.py`   both in a thread of their own
"""
