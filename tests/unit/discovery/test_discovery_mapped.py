"""Systems that a mapping describes, from real files and a real HTTP server: which assets, and that half is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from http_serving import serving

from schemas.records import Asset, AssetKind, Op
from streams.discovery.ports import DiscoveryProvider, Listing
from streams.discovery.providers.http_json import SourceAnswerError
from streams.discovery.providers.mapped import MappedProvider
from streams.discovery.providers.mapping import MappingError
from streams.discovery.providers.poll import poll_once
from streams.discovery.settings import PollSettings

ASSET = """
asset:
  id: cmdb/{sys_id}
  kind: {field: sys_class_name, values: {cmdb_ci_server: infrastructure, cmdb_ci_service: microservice}}
  name: "{name}"
  region: "{location.name}"
  zone: "{location.name}-{rack}"
  tenant: "{company.value}"
  owner: "{owned_by.value}"
  labels: {version: "{version}", virtual: "{virtual}"}
  strong_keys: ["serial:{serial_number}"]
  weak_keys: [{each: ips, separator: " ", template: "address:{value}"}]
  depends_on: [{each: parents, template: "cmdb/{value}"}, {each: relations, template: "cmdb/{value.to.id}"}, cmdb/core]
filter: {install_status: [1, 6]}
empty_values: [Unknown]
"""
REST = """
rest:
  url: URL/api/now/table/cmdb_ci
  params: {sysparm_query: ORDERBYsys_id}
  rows: result
  paging: {by: offset}
  total_header: X-Total-Count
  basic: {user: SNOW_USER, password: SNOW_PASSWORD}
"""
SECRETS = {"SNOW_USER": "reader", "SNOW_PASSWORD": "hunter2", "TOKEN": "t"}


def row(number: int, **fields: object) -> dict[str, object]:
    said = {"sys_id": f"{number:04}", "sys_class_name": "cmdb_ci_server", "name": f"web{number}", "install_status": "1"}
    return {**said, **fields}


def mapped(path: Path, text: str) -> MappedProvider:
    (path / "mapping.yaml").write_text(text)
    return MappedProvider(path / "mapping.yaml", "dc", SECRETS)


class Table(ThreadingHTTPServer):
    """A table of `rows`; `spoil` may change a page before it is sent: status, headers, body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.rows: list[Any] = []
        self.asked: list[tuple[str, str | None]] = []
        self.spoil: Callable[[int, Answer], None] = lambda _offset, _answer: None


class Answer:
    def __init__(self, rows: list[Any], total: int) -> None:
        self.status, self.missing_bytes = 200, 0
        self.headers = {"X-Total-Count": str(total)}
        self.content: Any = {"result": rows}
        self.text: str | None = None


class Handler(BaseHTTPRequestHandler):
    server: Table

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        query = parse_qs(urlsplit(self.path).query)
        offset, limit = int(query.get("sysparm_offset", ["0"])[0]), int(query.get("sysparm_limit", ["1000"])[0])
        answer = Answer(self.server.rows[offset : offset + limit], len(self.server.rows))
        if offset + limit < len(self.server.rows):
            following = f"{self.server.url}/api/now/table/cmdb_ci?sysparm_offset={offset + limit}&sysparm_limit={limit}"
            answer.headers["Link"] = f'<{self.server.url}/first>;rel="first",<{following}>;rel="next"'
            answer.content["next"] = urlsplit(following)._replace(scheme="", netloc="").geturl()
        else:
            answer.content["next"] = None
        self.server.spoil(offset, answer)
        body = (json.dumps(answer.content) if answer.text is None else answer.text).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body) + answer.missing_bytes))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def table() -> Iterator[Table]:
    with serving(Table()) as server:
        yield server


async def of_table(table: Table, path: Path, rest: str = REST) -> list[Asset]:
    return await mapped(path, rest.replace("URL", table.url) + ASSET).list()


async def test_a_row_is_what_the_mapping_says(table: Table, tmp_path: Path) -> None:
    table.rows = [
        row(
            1, **{"location.name": "eu"}, rack=7, company={"link": "x", "value": "acme"}, owned_by="", version=1.5,
            virtual=True, serial_number=" S1 ", ips="10.0.0.1 10.0.0.2", parents=["0002", "0001", "0002"],
            relations=[{"to": {"id": "0009"}}, {"to": ""}],
        ),
        row(2, sys_class_name="cmdb_ci_service", serial_number="Unknown", ips=None, install_status=6),
        row(3, install_status="7", sys_class_name="what the mapping does not know"),
    ]  # fmt: skip
    first, second = await of_table(table, tmp_path)
    assert first == Asset(
        id="cmdb/0001", name="web1", kind=AssetKind.INFRASTRUCTURE, region="eu", zone="eu-7", tenant="acme",
        labels={"version": "1.5", "virtual": "true"}, strong_keys=("serial:S1",),
        weak_keys=("address:10.0.0.1", "address:10.0.0.2"), depends_on=("cmdb/0002", "cmdb/0009", "cmdb/core"),
    )  # fmt: skip
    assert second == Asset(id="cmdb/0002", name="web2", kind=AssetKind.MICROSERVICE, depends_on=("cmdb/core",))


PAGINGS = {
    "offset": REST,
    "link": REST.replace("{by: offset}", "{by: link}").replace("  total_header: X-Total-Count\n", ""),
    "next": REST.replace("{by: offset}", "{by: next}"),
}


@pytest.mark.parametrize("paging", PAGINGS)
async def test_all_pages_are_read(table: Table, tmp_path: Path, paging: str) -> None:
    table.rows = [row(n) for n in range(2500)]
    assert [a.id for a in await of_table(table, tmp_path, PAGINGS[paging])] == [f"cmdb/{n:04}" for n in range(2500)]
    assert [auth for _, auth in table.asked] == ["Basic cmVhZGVyOmh1bnRlcjI="] * 3
    if paging == "offset":
        assert table.asked[2][0].endswith("cmdb_ci?sysparm_query=ORDERBYsys_id&sysparm_offset=2000&sysparm_limit=1000")


async def test_a_server_that_gives_less_a_page_than_it_was_asked_for_loses_no_row(table: Table, tmp_path: Path) -> None:
    table.rows = [row(n) for n in range(250)]
    table.spoil = lambda _, answer: answer.content.update(result=answer.content["result"][:100])
    assert len(await of_table(table, tmp_path)) == 250


async def test_an_empty_table_has_no_assets(table: Table, tmp_path: Path) -> None:
    for rest in PAGINGS.values():
        assert await of_table(table, tmp_path, rest) == []


async def test_one_page_of_a_list_with_a_bearer(table: Table, tmp_path: Path) -> None:
    table.spoil = lambda _, answer: setattr(answer, "content", [row(1)])
    rest = "rest: {url: URL/x, paging: {by: none}, bearer: TOKEN}"
    assert [a.id for a in await of_table(table, tmp_path, rest)] == ["cmdb/0001"]
    assert table.asked == [("/x", "Bearer t")]
    table.rows = [row(n) for n in range(2500)]
    with pytest.raises(SourceAnswerError, match="there is a next page, and the mapping says paging by none"):
        await of_table(table, tmp_path, rest)


def second_page(**changes: Any) -> Callable[[int, Answer], None]:
    def spoil(offset: int, answer: Answer) -> None:
        if offset == 1000:
            for name, value in changes.items():
                if isinstance(value, dict):
                    getattr(answer, name).update(value)
                else:
                    setattr(answer, name, value)

    return spoil


AT = r"cmdb_ci\?.*sysparm_offset=1000&sysparm_limit=1000"
FAULTS = [
    ("offset", second_page(missing_bytes=1), "RemoteProtocolError"),
    ("offset", second_page(headers={"X-Total-Count": "2499"}), "the total was 2500 and is 2499 now"),
    ("offset", second_page(headers={"X-Total-Count": ""}), "the total X-Total-Count is '', not a number"),
    ("offset", second_page(content={"result": []}), "an empty page, and it is not the last"),
    ("link", second_page(content={"result": []}), "an empty page, and it is not the last"),
    ("offset", second_page(content={"result": [row(999)]}), r"row 0: the same as .*offset=0.*: row 999"),
    ("offset", second_page(content={"result": [row(999, name="x")]}), "row 0: id 'cmdb/0999' is already that of"),
    ("offset", second_page(content={"result": [{**row(1000), "sys_id": ""}]}), r"row 0: no id: a field of"),
    ("offset", second_page(content={"result": [row(1000, install_status=["1"])]}), "install_status is no text"),
    ("offset", second_page(content={"result": [row(1000, sys_class_name="x")]}), "sys_class_name 'x' is not in"),
    ("offset", second_page(content={"result": [{"sys_id": "1000"}]}), "no field install_status, which the filter"),
    ("offset", second_page(content={"result": ["x"]}), "row 0: no object"),
    ("offset", second_page(content={"result": {}}), "no list of rows under 'result'"),
    ("offset", second_page(content={"error": {"message": "maximum execution time"}}), "says error: .*execution time"),
    ("offset", second_page(text="<html>Log in</html>"), "JSONDecodeError"),
    ("offset", second_page(status=429), "status 429"),
    ("offset", second_page(status=302), "status 302"),
    ("next", second_page(content={"next": None}), "2000 rows of 2500; all of them must be readable"),
    ("next", second_page(content={"next": 7}), "next is no address of a next page"),
    (
        "next",
        second_page(content={"next": "/api/now/table/cmdb_ci?sysparm_offset=1000&sysparm_limit=1000"}),
        "was read",
    ),
    ("link", second_page(headers={"Link": '<http://elsewhere/x>; rel="next"'}), "on another host: elsewhere"),
    ("link", second_page(headers={"Link": '<http://[x>; rel="next"'}), r"'http://\[x' is no address of a next page"),
]


@pytest.mark.parametrize(("paging", "spoil", "why"), FAULTS)
async def test_a_fault_of_one_page_fails_the_listing(
    table: Table, tmp_path: Path, paging: str, spoil: Callable[[int, Answer], None], why: str
) -> None:
    table.rows = [row(n) for n in range(2500)]
    table.spoil = spoil
    provider = mapped(tmp_path, PAGINGS[paging].replace("URL", table.url) + ASSET)
    with pytest.raises((SourceAnswerError, MappingError), match=f"{AT}.*{why}") as caught:
        await provider.list()
    assert "hunter2" not in str(caught.value)
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


# --- files ----------------------------------------------------------------------------------------------------------

CSV = """
csv: {file: servers.csv, delimiter: ';'}
asset:
  id: cmdb/{Serial}
  name: "{Host name}"
  kind: infrastructure
"""


async def test_a_csv_file_beside_the_mapping(tmp_path: Path) -> None:
    lines = [f'{n};"rack 7; web{n}"' for n in range(2500)]
    (tmp_path / "servers.csv").write_text("\ufeffSerial;Host name\r\n" + "\r\n".join(lines) + "\r\n\r\n")
    provider = mapped(tmp_path, CSV)
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    assert (provider.source, provider.scope, provider.freshness_s) == ("cmdb:dc", "cmdb/dc", 300.0)
    found = await provider.list()
    assert len(found) == 2500
    assert found[9] == Asset(id="cmdb/9", name="rack 7; web9", kind=AssetKind.INFRASTRUCTURE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: no columns"),
        ("Serial;Serial\n", "line 1: no columns, or one is named twice"),
        ("Serial;Host\n1;a\n", "line 1: no column Host name, which the mapping names"),
        ("Serial;Host name\n1;a\n2\n", "line 3: 1 values of 2 columns"),
        ("Serial;Host name\n1;a\n2;b;c\n", "line 3: 3 values of 2 columns"),
        ("Serial;Host name\n1;a\n;b\n", "line 3: no id"),
        ("Serial;Host name\n1;a\n1;b\n", "line 3: id 'cmdb/1' is already that of .*line 2"),
        ('Serial;Host name\n1;a\n2;"b\n', "cannot be read: unexpected end"),
        (f"Serial;Host name\n{'x' * 600};a\n", "line 2: id: "),
    ],
)
async def test_a_broken_line_fails_the_file(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "servers.csv").write_text(text)
    provider = mapped(tmp_path, CSV)
    with pytest.raises(MappingError, match=rf"servers\.csv: {why}"):
        await provider.list()
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


async def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"servers\.csv: cannot be read"):
        await mapped(tmp_path, CSV).list()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "cannot be read"),
        ("asset: {id: '{a}'}", "give one of csv and rest"),
        (CSV.replace("name:", "nmae:"), r"asset\.nmae: Extra inputs"),
        (CSV.replace("{Serial}", "Serial"), r"asset\.id: .*names no field"),
        (CSV.replace("{Serial}", "{Serial"), r"asset\.id: "),
        (CSV.replace("{Serial}", "{Serial!r}"), r"asset\.id: .*is its name in braces"),
        (CSV.replace("infrastructure", "server"), r"asset\.kind\.text: Input should be 'microservice'"),
        (REST.replace("URL", "http://[::1") + ASSET, r"rest\.url: .*is no address"),
        (
            CSV + "  depends_on: [{each: x, template: '{name}'}]",
            r"asset\.depends_on\.0\.fields: .*the only field here",
        ),
        (REST.replace("URL", "http://u:p@h") + ASSET, r"rest\.url: String should match"),
        (REST.replace("URL", "http://h").replace("  total_header: X-Total-Count\n", "") + ASSET, "needs total_header"),
        (REST.replace("URL", "http://h").replace("SNOW_USER", "NO_USER") + ASSET, "variable NO_USER is not set"),
        (REST.replace("URL", "http://h") + "  bearer: TOKEN\n" + ASSET, "basic and bearer: give one"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(MappingError, match=rf"mapping\.yaml: .*{why}") as caught:
        mapped(tmp_path, text)
    assert "u:p" not in str(caught.value)


def test_the_mappings_of_the_documentation_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "discovery.md").read_text()
    examples = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    assert [mapped(tmp_path, example).freshness_s for example in examples if "asset:" in example] == [600.0, 300.0]
