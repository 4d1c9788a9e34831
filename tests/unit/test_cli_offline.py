"""Commands that need no broker, through the same entry as the console script."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from schemas.golden import examples
from schemas.json_form import to_json
from topology.cli import app
from topology.topics import TOPICS

POLICIES = Path(__file__).parents[2] / "docs" / "examples" / "policies"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER", "REDIS_URL", "SETTINGS"):
        monkeypatch.delenv(f"MAESTRO_{name}", raising=False)


def maestro(*arguments: str, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"maestro \d+\.\d+\.\d+\S*\n", maestro("--version").stdout)


def command_paths() -> list[tuple[str, ...]]:
    flat = ["demo", "up", "worker", "tail", "recommend", "route", "explain", "replay", "detect", "graph", "pause"]
    flat += ["resume", "discover"]
    grouped = {
        "topics": ("list", "create", "check"),
        "publish": ("signals", "discovery", "jobs", "outcomes", "policies"),
        "policy": ("check", "shadow"),
    }
    nested = [(group, name) for group, names in grouped.items() for name in names]
    return [*((name,) for name in (*flat, "approve", "reject", "assets", "settings")), *nested]


@pytest.mark.parametrize("path", command_paths(), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    shown = maestro(*path, "--help")
    assert shown.exit_code == 0
    assert "Example:" in shown.stdout
    assert "maestro" in shown.stdout.split("Example:")[1]


def test_an_unknown_command_is_wrong_usage() -> None:
    assert maestro("conduct").exit_code == 2


def test_commands_that_need_a_broker_say_so_when_none_is_named() -> None:
    result = maestro("tail", "anomalies")
    assert result.exit_code == 2
    assert "MAESTRO_BROKER" in result.stderr
    assert result.stdout == ""


def test_all_wrong_settings_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PARTITIONS", "none")
    monkeypatch.setenv("MAESTRO_PARTITION", "3")
    result = maestro("topics", "list")
    assert result.exit_code == 2
    assert "MAESTRO_PARTITIONS:" in result.stderr
    assert "MAESTRO_PARTITION:" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_show_where_a_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PARTITIONS", "7")
    rows = {row["name"]: row for row in json.loads(maestro("settings", "--json").stdout)}
    assert (rows["partitions"]["value"], rows["partitions"]["source"]) == ("7", "environment")
    assert rows["app_id"]["source"] == "default"
    assert "partitions = 7 [" in maestro("settings").stdout


def test_topics_are_listed_with_the_settings_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PARTITIONS", "7")
    listed = {t["name"]: t for t in json.loads(maestro("topics", "list", "--json").stdout)}
    assert set(listed) == {t.name for t in TOPICS}
    assert listed["health-signals"]["partitions"] == 7
    assert listed["anomalies"]["partitions"] == 1
    text = maestro("topics", "list").stdout.splitlines()
    assert len(text) == len(TOPICS) + 1
    assert all(line == line.rstrip() for line in text)


def test_tail_of_an_unknown_topic_is_wrong_usage_and_names_the_topics() -> None:
    result = maestro("tail", "anomaly")
    assert result.exit_code == 2
    assert "anomalies" in result.stderr


@pytest.mark.parametrize("form", ["json", "asyncapi"])
def test_the_graph_is_printed_as_json(form: str) -> None:
    assert json.loads(maestro("graph", "--format", form).stdout)


def test_a_readme_is_checked_and_mended(tmp_path: Path) -> None:
    from topology.graph import README_BEGIN, README_END

    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n{README_BEGIN}\n{README_END}\n")
    assert maestro("graph", "--check", str(readme)).exit_code == 1
    assert maestro("graph", "--write", str(readme)).exit_code == 0
    assert maestro("graph", "--check", str(readme)).exit_code == 0
    assert maestro("graph", "--check", str(tmp_path / "none.md")).exit_code == 2


def test_policies_that_hold_are_valid() -> None:
    result = maestro("policy", "check", str(POLICIES), "--json")
    assert result.exit_code == 0
    assert "baseline" in json.loads(result.stdout)["policies"]


def test_every_fault_of_a_policy_folder_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.cedar").write_text("permit (principal, action, resource);\n")
    (tmp_path / "b.cedar").write_text(
        '\n@id("b") @reason("r")\nforbid (principal, action, resource) when { context.x };\n'
    )
    result = maestro("policy", "check", str(tmp_path))
    assert result.exit_code == 1
    assert "a.cedar:1: policy (without @id): @id is missing" in result.stdout
    assert re.search(r"b\.cedar:\d+: policy b: ", result.stdout)
    assert maestro("policy", "check", str(tmp_path / "none")).exit_code == 2


def test_a_scope_that_is_misspelt_is_refused_before_anything_is_asked() -> None:
    result = maestro("pause", "--holder", "ops", "--scope", "tenants:acme")
    assert result.exit_code == 2
    assert "tenant:NAME" in result.stderr


def test_a_moment_is_given_once() -> None:
    given = ("pause", "--holder", "ops", "--until", "2026-01-01", "--for", "5")
    assert maestro(*given).exit_code == 2
    assert "not a time" not in maestro("pause", "--holder", "ops", "--until", "soon").stderr
    assert "ISO 8601" in maestro("pause", "--holder", "ops", "--until", "soon").stderr


# detect


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_detect_gives_a_row_for_each_row_in_order(tmp_path: Path) -> None:
    series = "Value,TIMESTAMP,label\n" + "".join(f"{10 + i % 3},{1_700_000_000 + 60 * i},x\n" for i in range(400))
    series += "1e6,1700024000,x\n,1700024060,x\n3,not a time,x\nnan,1700024180,x\n"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.CSV").write_text(series)
    (tmp_path / "a.csv").write_text("timestamp,value\n2023-11-14 22:13:20,1\n")
    result = maestro("detect", str(tmp_path))
    assert result.exit_code == 0
    found = rows(result.stdout)
    assert [r["file"] for r in found] == ["a.csv", *["sub/b.CSV"] * 404]
    assert [int(r["row"]) for r in found[1:]] == list(range(404))
    assert found[0]["timestamp"] == "2023-11-14 22:13:20"
    assert (found[401]["timestamp"], found[401]["value"]) == ("1700024000", "1e6")
    assert float(found[401]["score"]) > max(float(r["score"]) for r in found[1:401])
    assert [(r["timestamp"], r["value"]) for r in found[402:404]] == [("1700024060", ""), ("not a time", "3")]
    assert all((r["score"], r["kind"], r["alarm"]) == ("0", "", "0") for r in found[402:])
    assert all(r["alarm"] in "01" for r in found)
    assert "2 rows not readable" in result.stderr


def test_detect_writes_to_a_file_and_does_not_read_it_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n1700000000,1\n1700000060,2\n")
    target = tmp_path / "found.csv"
    first = maestro("detect", str(tmp_path), "--out", str(target))
    before = target.read_text()
    maestro("detect", str(tmp_path), "--out", str(target))
    assert first.stdout == ""
    assert before == target.read_text()
    assert before.splitlines()[0] == "file,row,timestamp,value,score,kind,severity,alarm"
    assert len(rows(before)) == 2


def test_detect_of_a_single_file_names_it_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n12/31/2024 23:59,1\n")
    (row,) = rows(maestro("detect", str(tmp_path / "a.csv")).stdout)
    assert (row["file"], row["timestamp"]) == ("a.csv", "12/31/2024 23:59")


def test_detect_goes_on_after_a_file_without_the_columns_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,x\n1,2\n")
    (tmp_path / "b.csv").write_text("timestamp,value\n1700000000,1\n")
    (tmp_path / "c.csv").write_text("")
    result = maestro("detect", str(tmp_path))
    assert result.exit_code == 1
    assert [r["file"] for r in rows(result.stdout)] == ["b.csv"]
    assert "a.csv: the header needs" in result.stderr
    assert "c.csv: the header needs" in result.stderr


def test_detect_of_nothing_is_wrong_usage(tmp_path: Path) -> None:
    assert maestro("detect", str(tmp_path)).exit_code == 2
    assert maestro("detect", str(tmp_path / "none.csv")).exit_code == 2


# replay


def recorded() -> list[str]:
    """Every golden example that is an input, in the order of time."""
    lines = [
        (e.at, json.dumps({"topic": e.topic, "key": e.key, "at": e.at, "value": json.loads(to_json(e.record))}))
        for e in examples()
    ]
    return [line for _, line in sorted(lines)]


def test_a_replay_is_byte_identical() -> None:
    given = "\n".join(recorded())
    first, second = maestro("replay", "-", given=given), maestro("replay", "-", given=given)
    assert first.exit_code == 0
    assert first.stdout_bytes == second.stdout_bytes
    emitted = [json.loads(line) for line in first.stdout.splitlines()]
    assert {"assets", "routing-decisions"} <= {line["topic"] for line in emitted}
    assert all(line["cause"] for line in emitted)


def test_lines_that_cannot_be_used_are_refused_by_number_and_the_replay_goes_on(tmp_path: Path) -> None:
    good = next(line for line in recorded() if '"discovery-events"' in line and '"upsert"' in line)
    file = tmp_path / "lines.jsonl"
    file.write_text(f'{{"topic": "nope", "key": "k", "at": 1}}\n\n{{not json\n{good}\n')
    result = maestro("replay", str(file))
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    refused = [line for line in lines if line["topic"] == "dead-letters"]
    assert [line["cause"] for line in refused] == ["nope:1", "unknown:3"]
    assert any(line["topic"] == "assets" for line in lines)
    assert "3 lines read, 2 refused" in result.stderr


def test_a_replay_of_nothing_usable_fails() -> None:
    assert maestro("replay", "-", given="{}\n").exit_code == 1
    assert maestro("replay", "-", given="").exit_code == 0
    assert maestro("replay", "none.jsonl").exit_code == 2


def test_a_replay_decides_by_the_policies_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "deny.cedar").write_text('@id("nothing") @reason("no") forbid (principal, action, resource);')
    good = next(line for line in recorded() if '"discovery-events"' in line and '"upsert"' in line)
    plain, denied = (
        maestro("replay", "-", given=good),
        maestro("replay", "-", "--policies", str(tmp_path), given=good),
    )
    assert '"topic":"assets"' in plain.stdout
    assert '"topic":"assets"' not in denied.stdout
    (tmp_path / "bad.cedar").write_text("permit (")
    assert maestro("replay", "-", "--policies", str(tmp_path), given=good).exit_code == 2


def test_the_commands_are_there_before_faust_kafka_and_numpy_are_loaded() -> None:
    heavy = ("faust", "confluent_kafka", "numpy", "redis")
    code = f"import sys, topology.cli; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "no source is named"),
        (("--haproxy", "edge"), "not NAME=SOCKET"),
        (("--haproxy", "edge=/a", "--haproxy", "edge=/b"), "named twice: haproxy:edge"),
        (("--prometheus", "http://prometheus:9090"), "not NAME=URL"),
        (("--file-sd", "=x.yml"), "not JOB=PATTERN"),
        (("--mesh", "prod=/nowhere"), "--mesh prod: /nowhere: cannot be read"),
        (("--cmdb", "dc=/nowhere.yaml"), "--cmdb dc: /nowhere.yaml: cannot be read"),
    ],
)
def test_discover_refuses_sources_that_cannot_be(options: tuple[str, ...], says: str) -> None:
    refused = maestro("discover", "--broker", "127.0.0.1:1", *options)
    assert refused.exit_code == 2
    assert says in refused.stderr
