"""Healing: finds what to do about an incident, sees that it is allowed and safe, orders it, and proves that it worked.

| | |
|---|---|
| seed | Cognitive Healing Layer, `SelfHealingOrchestrator` |
| in | `anomalies`, `action-outcomes` |
| views | `assets`, `performance`, `policies`, `spending` |
| out | `remediations`, `spending` |
| table | `state`: incidents, assets, pools, cooldowns, history of strategies, experiments |
| plug-ins | `ports.ResponseStrategy` (pure), `ports.Executor` (effects) |

Invariants: at most one action is under way per asset; at most a set share of a pool is acted on; every effect was
allowed by policy when it was planned and again when it is executed; a step that is told has a cause and figures;
all guards are in the table and in event time.

`inoculation/` puts faults on assets on purpose and measures what becomes of them.
`executors/` has the effects: the pure ledger (`ExecutorsLayer`) and the runner that carries orders out.
"""
