"""kill -9 at each step between planned and verified: no effect twice, none lost.

Twenty kills here; `maestro bench healing --kills 200` for all.
"""

from __future__ import annotations

import pytest

from topology.bench.healing import kills

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
BOTH_KINDS = 2 * len(kills.STEPS)


def test_each_step_is_killed_once_with_either_kind_of_effect() -> None:
    rows = list(kills.figures(BOTH_KINDS, seed=1))
    whole = rows[-1]
    assert (whole["step"], whole["kills"]) == ("all", BOTH_KINDS)
    assert (whole["twice"], whole["lost"], whole["contradicted"]) == (0, 0, 0), rows
    by_step = {row["step"]: row for row in rows}
    assert by_step["effect done"]["repeats"] >= 1, "the control endpoint was asked again, with the same key"
    assert by_step["effect done"]["told_unknown"] >= 1, "the runbook was not run again, and a person was told"
