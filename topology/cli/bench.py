"""`maestro bench NAME`: the product measured, each figure beside that of a peer or a floor of the same run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology.cli.bench_discovery import discovery
from topology.cli.bench_healing import healing
from topology.cli.bench_rows import Figures, show
from topology.cli.options import AsJson
from topology.cli.output import note
from topology.cli.root import Misused, Refused

if TYPE_CHECKING:
    from topology.bench.telemetry import Comparison, Round


class Work(StrEnum):
    W1 = "w1"
    W2 = "w2"


class Peer(StrEnum):
    FAUST = "faust"
    QUIX = "quix"
    KAFKA_STREAMS = "kafka-streams"
    KAFKA_STREAMS_BY_HAND = "kafka-streams-by-hand"
    KAFKA_STREAMS_UNCACHED = "kafka-streams-uncached"
    FLOOR = "floor"


class Detector(StrEnum):
    FULL = "full"
    TOY = "toy"


USUAL_PEERS = [Peer.FAUST, Peer.QUIX, Peer.KAFKA_STREAMS, Peer.KAFKA_STREAMS_BY_HAND, Peer.FLOOR]
Seconds = Annotated[float, typer.Option("--seconds", min=1.0, help="Measured seconds of each side and round.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Times that each side has its turn.")]
Jar = Annotated[Path | None, typer.Option("--jar", help="Kafka Streams peer, built in tests/bench/kafka-streams.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Benchmarks, each with its ratio to a peer or floor.")
    group.callback(invoke_without_command=True, epilog="Without a name: all of them, which takes half an hour.")(every)
    for name, command in COMMANDS.items():
        group.command(name)(command)
    app.add_typer(group, name="bench")


def every(context: typer.Context) -> None:
    """Benchmarks. CPU time a sample is the figure: rates of the clock vary with what else the machine does."""
    if context.invoked_subcommand is None:
        for name, command in COMMANDS.items():
            note(f"maestro bench {name}")
            command()


def telemetry(
    seconds: Seconds = 30.0,
    rounds: Rounds = 3,
    workload: Annotated[list[Work] | None, typer.Option(help="w1 = a sample a message, w2 = 500; else both.")] = None,
    peer: Annotated[list[Peer] | None, typer.Option(help="Else every one that can be measured here.")] = None,
    series: Annotated[list[int] | None, typer.Option(min=400, help="Series; again for growth, e.g. 100000.")] = None,
    detector: Annotated[
        Detector, typer.Option(help="toy = beside the full one, ours with the peers' z-score in its place.")
    ] = Detector.FULL,
    quix_python: Annotated[Path | None, typer.Option(help="A Python that has quixstreams; else this one.")] = None,
    jar: Jar = None,
    profile: Annotated[bool, typer.Option("--profile", help="Where our CPU goes, to stderr; costs about 2 %.")] = False,
    as_json: AsJson = False,
) -> None:
    """The telemetry worker with its full detector, peers and a floor, by turns on one backlog of an embedded Kafka."""
    from topology.bench import load, peers, telemetry, watched

    tools = peers.Tools(**_given(quix_python=quix_python, jar=jar))
    counts = series or [load.SERIES]
    if odd := [n for n in counts if n % load.SERIES_STEP]:
        raise Misused(f"--series {odd[0]}: a multiple of {load.SERIES_STEP} is needed")
    sides = [peers.OURS, *([peers.TOY] if detector is Detector.TOY else [])]
    for one in dict.fromkeys(peer or USUAL_PEERS):
        missing = tools.missing(one)
        note(f"{peers.LABELS[one]} is left out: {missing}") if missing else sides.append(one.value)
    plan = telemetry.Plan(sides, tools, [w.value for w in workload or Work], seconds, rounds, counts, profile)
    found: dict[int, Comparison] = {}
    try:
        for comparison, turn in telemetry.compare(plan):
            found[id(comparison)] = comparison
            note(_begun(comparison) if turn is None else _turn(comparison, turn))
    except watched.SideError as error:
        raise Refused(str(error)) from error
    show((row for c in found.values() for row in telemetry.figures(c)), as_json, _side)
    show(telemetry.growth(list(found.values())), as_json, _growth)


def _given(**options: Path | None) -> dict[str, Path]:
    return {name: path for name, path in options.items() if path is not None}


def _begun(found: Comparison) -> str:
    from topology.bench.watched import load_average

    load = load_average()
    return f"{found.workload}, {found.series:,} series: {found.backlog:,} samples wait; load average {load:.1f}"


def _turn(found: Comparison, turn: Round) -> str:
    m = turn.measured
    return (
        f"  {found.workload} round {turn.number}: {turn.side:22} {m.per_s:10,.0f} samples/s {m.cpu_us:9.2f} us CPU"
        f" a sample over {m.seconds:.0f} s, load average {turn.load_average:.1f}"
    )


def _side(row: Figures) -> str:
    text = (
        "{workload} {series:>7,} series {label:23} {per_s:12,.0f} samples/s {cpu_us:9.2f} us CPU a sample, "
        "{ratio:7.2f} of ours"
    )
    with_toy = ", {ratio_to_toy:7.2f} of ours with the toy" if row["ratio_to_toy"] is not None else ""
    return (text + with_toy).format(**row)


def _growth(row: Figures) -> str:
    return "{workload} {label:23} {from_series:,} to {to_series:,} series: {ratio:.2f} times the CPU a sample".format(
        **row
    )


def routing(
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the composed hour.")] = 4_000,
    data: Annotated[Path | None, typer.Option(help="Folder with regions/ and llm-requests/; made if absent.")] = None,
    durable: Annotated[bool, typer.Option("--durable", help="A worker on a Kafka of its own instead.")] = False,
    seconds: Annotated[float, typer.Option(min=1.0, help="With --durable: seconds of each round trip's load.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Routing: microseconds of a decision, 100 to 50,000 candidates; then cost and broken limits of a composed hour.

    The hour is played with the routing layer, an offline oracle and five baselines.
    With --durable: decisions a second of one worker on Kafka, and the round trip of a job.
    """
    from topology.bench import durable as on_kafka
    from topology.bench import evaluated, routing

    if durable:
        show(on_kafka.figures(100_000, (100.0, 1_000.0), seconds), as_json, on_kafka.text)
        show(on_kafka.figures(100_000, (), seconds, kinds=50, changing=True), as_json, on_kafka.text)
        return
    show(routing.figures(), as_json, routing.text)
    show(evaluated.figures(jobs, data), as_json, evaluated.text)


def policy(as_json: AsJson = False) -> None:
    """Policy decisions a second of one core, parsed once, beside parsing each time and beside plain Python."""
    from topology.bench import policy

    show(policy.figures(), as_json, policy.text)


def optimisation(
    days: Annotated[float, typer.Option(min=0.05, help="Of each series of days; request traces are an hour.")] = 1.0,
    trace: Annotated[str, typer.Option(help="Only traces whose name holds this.")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder with llm-requests and nab; else ../shared/data.")] = None,
    as_json: AsJson = False,
) -> None:
    """Autoscalers on request traces over a queueing model: HPA v2, VPA, static p95, ours and an oracle."""
    from topology.bench.optimisation import run

    show(run.figures(data, days, trace), as_json, run.text)


def detect(as_json: AsJson = False) -> None:
    """The detector alone: us a sample, beside an exponential average's z-score and a copy of the samples."""
    from topology.bench import detect

    show(detect.figures(), as_json, detect.text)


def latency(
    rate: Annotated[list[float] | None, typer.Option(min=1.0, help="Messages a second; else 100 and 1,000.")] = None,
    seconds: Seconds = 30.0,
    jar: Jar = None,
    as_json: AsJson = False,
) -> None:
    """Milliseconds from a signal to its anomaly and to the first healing step for it, by broker times.

    Beside Kafka Streams with linger 0, two hops with state, if its peer was built.
    """
    from topology.bench import latency, peers

    logging.basicConfig(level=logging.ERROR)
    tools = peers.Tools(**_given(jar=jar))
    missing = tools.missing("kafka-streams")
    if missing:
        note(f"Kafka Streams is left out: {missing}")
    for one in rate or [100.0, 1_000.0]:
        show(latency.figures(one, seconds, None if missing else tools), as_json, latency.text)


def restore(
    rows: Annotated[int, typer.Option(min=4, help="Rows of 900 bytes.")] = 100_000,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """Seconds from a lost disk to a table that is ready, beside reading the same changelog and throwing it away."""
    from topology.bench import restore

    show(restore.figures(rows - rows % restore.PARTITIONS, rounds), as_json, restore.text)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "telemetry": telemetry,
    "latency": latency,
    "restore": restore,
    "healing": healing,
    "discovery": discovery,
    "detect": detect,
    "routing": routing,
    "optimisation": optimisation,
    "policy": policy,
}
