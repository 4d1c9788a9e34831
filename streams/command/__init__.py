"""Command layer: what users ask of the whole. Topics in: every decision topic; out: none; keeps a read model in Redis.

- `ledger.py` — pure: records by id, cause and incident; the story behind an id (`maestro explain`).
- `readmodel.py` — the ledger's shape in Redis; each value carries the coordinates of its record and is written only
  if newer, so that a second run over the topics, in whatever order, gives the same state.

Seed section: "Command Layer - MaestroConductor". The client of that name is `topology.client`.
"""
