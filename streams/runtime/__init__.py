"""Runs a pure layer on Kafka: decodes and checks input, keeps views, drives partitions, stages what a step gave.

- `ingest.py`   pure: bytes of a message to an `Event`, to a refusal or a re-key
- `samples.py`  pure: messages of health-signals to columns, bad and misplaced rows apart
- `publish.py`  pure: an emission to a message
- `journal.py`  pure: the order in which a partition took its inputs (ADR 4)
- `owned.py`    one partition between takeover and loss: rows, clock, what it has seen of the views
- `views.py`    reads compacted and broadcast topics whole, and says when it has caught up
- `runner.py`   one layer on one Faust app: batches, views and ticks in, rows and records out; `counters.py` counts
- `attach.py`   ties a runner to its app
- `effects.py`  runs the executors' effects, begun only when the intention is durable (ADR 5)
"""
