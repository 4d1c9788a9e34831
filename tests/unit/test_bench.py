"""What `maestro bench` makes of the lines of its sides, and what its peers do with a sample."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from schemas.codec import decode
from schemas.records import HealthSignal
from schemas.samples import decode_samples
from streams.policy.cedar import CedarPolicySet
from topology.bench import load, policy, work
from topology.bench.hops import OUR_HOPS, Times, Watch
from topology.bench.latency import HOP_LAYERS, SETUPS, commands, cuts
from topology.bench.peers import OURS, Tools
from topology.bench.telemetry import Comparison, Round, figures, growth
from topology.bench.watched import Measured, SideError, child, measured
from topology.cli import app
from topology.tables import LAYERS


def printing(*lines: tuple[float, float, int]) -> list[str]:
    text = "\n".join(json.dumps({"s": s, "cpu_s": cpu, "samples": n}) for s, cpu, n in lines)
    return [sys.executable, "-c", f"print({text!r}, flush=True)"]


def watched(seconds: float, total: int, *lines: tuple[float, float, int]) -> Measured:
    with child(printing(*lines)) as process:
        return measured(process, seconds, total)


def test_a_side_is_measured_from_where_it_has_settled_between_moves_of_its_count():
    found = watched(10, 10_000, (0, 1, 0), (1, 2, 10), (6, 5, 100), (7, 6, 100), (16, 9, 300), (17, 10, 300))
    assert found == Measured(200, 10, 4)
    assert (found.per_s, found.cpu_us) == (20, 20_000)


def test_a_side_that_reads_all_before_it_has_settled_is_measured_from_its_start():
    assert watched(10, 300, (0, 1, 0), (1, 2, 100), (2, 3, 300)) == Measured(300, 2, 2)


def test_a_side_that_ends_is_said():
    with pytest.raises(SideError, match="status 0"):
        watched(10, 300, (0, 1, 0), (1, 2, 100))


def test_ratios_are_of_medians_of_cpu():
    def comparison(series: int, cpu_us: float) -> Comparison:
        sides = [(OURS, cpu_us), (OURS, cpu_us), (OURS, 99), ("faust", cpu_us * 50)]
        rounds = [Round(i, side, Measured(1_000_000, 1, us), 0.5) for i, (side, us) in enumerate(sides)]
        return Comparison("w1", series, 1, rounds)

    few, many = comparison(4_000, 2.0), comparison(100_000, 3.0)
    assert [(row["side"], row["ratio"]) for row in figures(few)] == [(OURS, 1.0), ("faust", 50.0)]
    assert [(row["side"], row["ratio"]) for row in growth([few, many])] == [(OURS, 1.5), ("faust", 1.5)]


@pytest.mark.parametrize("workload", load.SAMPLES_A_MESSAGE)
def test_the_load_is_whole_and_in_order_of_time(workload):
    sent = list(load.messages(workload, 2_000, load.SERIES_STEP))
    samples = [decode_samples(data, load.CONTENT_TYPE) for _, _, data in sent]
    assert {partition for partition, _, _ in sent} == set(range(work.PARTITIONS))
    assert sum(map(len, samples)) == 2_000
    assert len({key for columns in samples for key in columns.series}) == load.SERIES_STEP
    times = np.concatenate([columns.at for columns, (p, _, _) in zip(samples, sent, strict=True) if p == 0])
    assert (np.diff(times) >= 0).all() or workload == "w2"


def test_peers_read_what_we_wrote():
    [*_, (_, _, single)], [*_, (_, _, batch)] = (load.messages(w, 500, 400) for w in ("w1", "w2"))
    record = decode((HealthSignal,), single)
    assert work.reader("w1")(single) == record.model_dump()
    columns, found = decode_samples(batch), dict(work.by_series(work.reader("w2")(batch)))
    for number, key in enumerate(columns.series):
        assert found[f"{key.asset_id}|{key.metric}"].tolist() == columns.value[columns.series_index == number].tolist()


def test_the_peers_row_scores_a_value_against_those_before_it():
    values = np.arange(100.0)
    row, far_off = work.scored(work.EMPTY_ROW, values)
    assert not far_off
    assert len(row) == 608
    seen, *ring = np.frombuffer(row)[:65]
    assert (seen, sorted(ring)) == (100, values[-64:].tolist())
    slope, z = np.frombuffer(row)[65:67]
    assert slope == pytest.approx(1.0)
    assert z == pytest.approx((99 - values[35:99].mean()) / values[35:99].std())
    assert work.scored(row, np.array([1_000.0]))[1]


def test_hops_join_by_cause_and_incident():
    watch = Watch.__new__(Watch)
    watch._hops = OUR_HOPS
    watch._times = Times({"s:0:1": 100}, {"a": ("s:0:1", 130), "b": ("s:0:9", 150)}, {"a": 170, "b": 180})
    assert watch.hops() == ([30], [70])


def test_each_set_up_runs_every_layer_once_and_names_what_is_in_which_process():
    for _, processes in SETUPS.values():
        assert sorted(name for layers in processes for name in layers) == sorted(card.name for card in LAYERS)
    assert [len(processes) for _, processes in SETUPS.values()] == [1, 2]
    split = commands("maestro-split", "b:1", Path("f"), None)
    assert split[0][-3].split(",") == list(HOP_LAYERS)
    assert len({command[-1] for command in split}) == 2, "each process needs its own folder"


def test_too_few_are_no_percentiles():
    assert cuts([1] * 19)["p50_ms"] is None
    assert cuts(list(range(1, 102)))["p50_ms"] == 51


def test_a_peer_that_is_not_here_is_left_out_with_the_way_to_it(tmp_path):
    tools = Tools(quix_python=tmp_path / "python", jar=tmp_path / "peer.jar")
    assert "--quix-python" in (tools.missing("quix") or "")
    assert tools.missing("kafka-streams")
    assert tools.missing("faust") is None


def test_a_number_of_series_that_does_not_fill_the_partitions_is_refused():
    result = CliRunner().invoke(app, ["bench", "telemetry", "--series", "401"])
    assert result.exit_code == 2
    assert "multiple of 400" in result.output


def test_every_side_is_a_module_that_exists():
    root = Path(load.__file__).parent
    command = Tools().command(OURS, "b:1", "w1", "app", Path("f"))
    assert (root / "sides" / f"{command[4].rpartition('.')[2]}.py").is_file()
    assert subprocess.run([sys.executable, "-c", "import topology.bench.work"], check=False).returncode == 0


def test_policy_decisions_are_compared_with_sides_that_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "QUESTIONS", 400)
    monkeypatch.setattr(policy, "TURNS", 3)
    rows = {str(row["side"]): row for row in policy.figures()}
    assert rows["gate with a Cedar set"]["ratio"] == 1.0
    assert float(str(rows["parsed for each question"]["ratio"])) > 4.0, "the set is parsed once: ten times less work"
    assert all("decisions/s" in policy.text(row) for row in rows.values())
    answers = {CedarPolicySet({"r": policy.RULES}).decide(q).allowed for q in policy.questions(200)}
    assert answers == {True, False}
