"""Command layer: what users ask of the whole. Topics in: every decision topic; out: none; keeps a read model in Redis.

- `ledger.py` — pure: records by id, cause and incident; the story behind an id (`maestro explain`).
- `sentences.py` — pure: one line about each record, for people.
- `readmodel.py` — the ledger's shape in Redis; each value carries the coordinates of its record and is written only
  if newer, so that a second run over the topics, in whatever order, gives the same state.
- `projector.py` — follows the topics and keeps the read model current; `ports.py` says what it reads them with.

Seed section: "Command Layer - MaestroConductor". The client of that name is `topology.client`.
"""
