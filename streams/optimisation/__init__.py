"""Optimisation: rolling figures per asset, and the one action that would help it most.

In: `health-signals` (views: `assets`, `anomalies`, `policies`, `remediations`,
`spending`). Out: `performance`, `recommendations`.
Table: one row per asset (`state.AssetRow`): a window, generations and a decaying histogram per metric, and what stands.

Invariants: one action per asset at a time; nothing is cut without usage that was reported in the window, nor while
healing owns the asset; a forecast only raises; the result does not depend on how samples are batched.
Seed: Optimisation Layer, `CostLatencyOptimizer`.
"""
