"""What stands for autoscalers: the board on records fed by hand, and its answers over HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner
from yarl import URL

from schemas.records import Recommendation, RecommendedAction
from streams.atleastonce.batch import RawMessage
from topology.cli import app
from topology.client.reading import Read
from topology.standing.board import Board
from topology.standing.command import feed, parse_address
from topology.standing.server import StandingServer

T = 1_700_000_000_000
ODD = ["a/b/c", "/a//b", "a%2Fb", "50%", "a b+c", "x?y=1#z", "Zürich-1", 'q"\\\n', "..", "metrics", "../metrics"]
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def said(asset_id: str = "pool", **changed: object) -> Recommendation:
    return Recommendation.model_validate(
        {"id": "r-1", "asset_id": asset_id, "action": RecommendedAction.SCALE_OUT, "from_units": 4, "to_units": 6.2,
         "confidence": 0.9, "saving_usd_per_hour": -2, "slo_risk": 0.1, "valid_until": T + 900_000, "cause_id": "c",
         "reason": "busy", "at": T} | changed
    )  # fmt: skip


def read(asset_id: str, value: Recommendation | None, error: str = "") -> Read:
    return Read("recommendations", 0, 0, asset_id, T, value, "c", RawMessage(0, T, asset_id.encode(), None, []), error)


def units(records: list[Recommendation], now: int = T + 1) -> dict[str, int]:
    board = Board()
    for record in records:
        board.hear(record)
    return dict(board.scaling(now))


def test_the_last_word_stands_until_it_is_withdrawn_or_over() -> None:
    renewed = said(id="r-2", to_units=8, at=T + 10, valid_until=T + 900_010)
    assert units([said()]) == {"pool": 7}
    assert units([said(), renewed]) == {"pool": 8}
    assert units([said(), said(withdrawn=True, at=T + 5, valid_until=T + 5)]) == {}
    assert (units([said()], T + 899_999), units([said()], T + 900_000)) == ({"pool": 7}, {})


def test_a_record_that_comes_once_more_does_not_take_back_what_is_newer() -> None:
    withdrawn = said(withdrawn=True, at=T + 5, valid_until=T + 5)
    newer = said(id="r-2", action=RecommendedAction.SCALE_IN, to_units=3, at=T + 10)
    assert units([said(), withdrawn, newer, said(), withdrawn]) == {"pool": 3}


def test_a_withdrawal_with_the_time_of_an_older_event_takes_back_its_own() -> None:
    assert units([said(), said(withdrawn=True, at=T - 50, valid_until=T - 50)]) == {}


def test_what_is_not_about_how_many_states_no_number_but_replaces_one_that_does() -> None:
    other = said(id="r-2", action=RecommendedAction.REBALANCE, to_units=1, at=T + 1)
    assert units([said(), other]) == {}
    assert units([said(action=RecommendedAction.RIGHT_SIZE, to_units=0.4)]) == {}
    assert units([said(action=RecommendedAction.SCALE_IN, to_units=0.0)]) == {"pool": 1}


def test_what_is_over_is_not_kept() -> None:
    board = Board()
    board.hear(said())
    board.hear(said("other", valid_until=T + 5))
    board.drop_expired(T + 5)
    assert set(board._last) == {"pool"}


@asynccontextmanager
async def served(
    *reads: Read, now: int = T + 1, caught_up: bool = True
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    own = StandingServer(Board(), lambda: now)
    feed(own, reads)
    own.caught_up = caught_up
    async with TestClient(TestServer(own.app(), host="127.0.0.1")) as client:
        yield client


def path(client: TestClient[web.Request, web.Application], asset_id: str) -> URL:
    """Every character of the id is written in hex, dots too: a client would resolve `..` itself."""
    return URL(str(client.make_url("/units/")) + quote(asset_id, safe="").replace(".", "%2E"), encoded=True)


@pytest.mark.parametrize("asset_id", ODD)
async def test_an_asset_is_asked_for_by_whatever_its_id_is(asset_id: str) -> None:
    async with served(read(asset_id, said(asset_id)), read("o", said("o", to_units=2))) as client:
        answer = await client.session.get(path(client, asset_id))
        assert (answer.status, await answer.json()) == (
            200,
            {"asset_id": asset_id, "units": 7, "action": "scale_out", "valid_until": T + 900_000, "id": "r-1",
             "reason": "busy"},
        )  # fmt: skip


async def test_slashes_need_not_be_written_in_hex() -> None:
    async with served(read("eu/web/pool", said("eu/web/pool"))) as client:
        answer = await client.get("/units/eu/web/pool")
        assert (await answer.json())["units"] == 7


async def test_where_nothing_stands_is_404_with_the_reason() -> None:
    moved = said("moved", action=RecommendedAction.REBALANCE)
    gone = (read("gone", said("gone")), read("gone", None))
    async with served(read("pool", said()), *gone, read("moved", moved), now=T + 899_999) as client:
        statuses = {a: (await client.get(f"/units/{a}")).status for a in ("pool", "gone", "moved", "unknown")}
        assert statuses == {"pool": 200, "gone": 404, "moved": 404, "unknown": 404}
        assert "rebalance stands" in (await (await client.get("/units/moved")).json())["reason"]
    async with served(read("pool", said()), now=T + 900_000) as client:
        assert (await client.get("/units/pool")).status == 404


async def test_prometheus_reads_every_id_as_it_is() -> None:
    async with served(*(read(a, said(a)) for a in ODD), read("moved", said("m", action="rebalance"))) as client:
        answer = await client.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        (family,) = text_string_to_metric_families(await answer.text())
    assert family.name == "maestro_recommended_units"
    assert {s.labels["asset_id"]: s.value for s in family.samples} == dict.fromkeys(ODD, 7.0)


async def test_before_the_topic_was_read_silence_is_no_answer() -> None:
    async with served(read("pool", said()), caught_up=False) as client:
        assert {(await client.get(p)).status for p in ("/units/pool", "/metrics", "/healthz")} == {503}


async def test_what_cannot_be_read_is_counted_and_takes_nothing_back() -> None:
    async with served(read("pool", said()), read("pool", None, error="undecodable")) as client:
        assert await (await client.get("/healthz")).json() == {"standing": 1, "unreadable": 1}


def test_an_address_is_a_port_with_or_without_a_host() -> None:
    assert parse_address("8080") == parse_address(":8080") == ("127.0.0.1", 8080)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:0") == ("::1", 0)
    for wrong in ("", "host", "host:", "1:65536", "-1"):
        assert CliRunner().invoke(app, ["recommend", "--serve", wrong]).exit_code == 2, wrong


def test_the_example_for_keda_asks_for_what_is_served() -> None:
    example = yaml.safe_load((EXAMPLES / "autoscaling" / "keda-scaledobject.yaml").read_text())
    (trigger,) = example["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["valueLocation"]) == ("metrics-api", "units")
    assert "/units/" in trigger["metadata"]["url"]
    assert trigger["metadata"]["targetValue"] == "1"
    assert example["spec"]["minReplicaCount"] >= 1
    assert "fallback" not in example["spec"], "404 must leave the replicas as they are"
