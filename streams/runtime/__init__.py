"""Runs a pure layer on Kafka: decodes and checks input, keeps views, drives partitions, stages what a step gave.

- `ingest.py`   pure: bytes of a message to an `Event`, to samples, or to a refusal or re-key
- `journal.py`  pure: the order in which a partition took its inputs (ADR 4)
- `views.py`    reads compacted and broadcast topics whole, and says when it has caught up
- `runner.py`   one layer on one Faust app: batches, views and ticks in, rows and records out
"""
