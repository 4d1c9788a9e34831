"""What a worker compiles before it joins its group is all that it needs later: compiling stops it for half a second."""

from __future__ import annotations

from streams.routing import kernels

KERNELS = {name: made for name, made in vars(kernels).items() if hasattr(made, "signatures")}


def test_a_life_of_jobs_compiles_nothing_more(rig):
    kernels.warm_up()
    compiled = {name: set(made.signatures) for name, made in KERNELS.items()}
    assert all(made for name, made in compiled.items() if not name.startswith("_")), (
        "`_wins` is inside a kernel from disk"
    )
    rig.asset("a", latency_ms=1)
    rig.asset("b", capacity_units=4)
    rig.asset("c", cost_usd_per_hour=1)
    rig.route("one")
    rig.at += 1
    rig.outcome("a", "failed", "one")
    rig.route("two", weights={"cost": 1})
    assert {name: set(made.signatures) for name, made in KERNELS.items()} == compiled
