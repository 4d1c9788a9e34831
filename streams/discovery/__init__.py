"""Discovery: what every source says about its assets, merged into one registry.

Topics in: `discovery-events`; `policies` as a view. Topics out: `assets` (a tombstone = removed), `lifecycle-events`.
Table: one row per asset (each source's claim, the record last published), one per (source, scope) (its snapshots), and
the scope's member list in buckets (`state`).

Invariants:
- a removed asset is one that no source claims any more; absence counts only from a *complete* snapshot of that source
  and scope, and not while the mass-delete guard holds it;
- nothing is emitted when nothing visible changed; the merge depends on what the sources say, not on their order;
- each field of a registered asset names the source it is from.

Seed: Discovery Layer, `AssetDiscoveryEngine`; acceptance cases D1-D6.
"""
