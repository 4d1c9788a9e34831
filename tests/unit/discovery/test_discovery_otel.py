"""Dependencies and assets out of traces: recorded ones, in any order, damaged, in bounded memory."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from otel_spans import LATER, SOURCE, T0_S, client, consumer, message, producer, recorded, server, shown, sightings

from schemas.records import AssetKind
from streams.discovery.providers.telemetry.reading import Unreadable, read

DB, QUEUE, PAY = f"{SOURCE}/db/postgresql/10.0.0.5:5432/shop", f"{SOURCE}/queue/kafka/orders", "pay.example.com"
SHOP = {
    "shop/web/web-1": ("shop/checkout/checkout-1",),
    "shop/checkout/checkout-1": (
        f"{SOURCE}/address/{PAY}",
        DB,
        QUEUE,
        "shop/cart/cart-1",
        "shop/mail/mail-1",
    ),
    "shop/cart/cart-1": (),
    "shop/mail/mail-1": (QUEUE,),
    DB: (),
    QUEUE: (),
    f"{SOURCE}/address/{PAY}": (),
}


def of_the_shop(messages):
    seen = sightings()
    shown(seen, *messages)
    seen.end_waits()
    return shown(seen), seen


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_what_an_sdk_recorded_is_the_shop(encoding):
    found, seen = of_the_shop(recorded(encoding))
    assert found == SHOP
    edges = seen.edges("shop/checkout/checkout-1")
    assert {to: edge.calls for to, edge in edges.items()} == dict.fromkeys(SHOP["shop/checkout/checkout-1"], 2)


def test_in_any_order_of_the_messages_it_is_the_same():
    messages = recorded()
    for seed in range(50):
        random.Random(seed).shuffle(messages)
        found, seen = of_the_shop(messages)
        assert found == SHOP
        assert seen.edges("shop/web/web-1")["shop/checkout/checkout-1"].calls == 2


def test_assets_say_what_their_resources_say():
    _, seen = of_the_shop(recorded())
    assets = {asset.id: asset for asset in seen.touched()}
    checkout = assets["shop/checkout/checkout-1"]
    assert (checkout.name, checkout.kind, checkout.version) == ("checkout", AssetKind.MICROSERVICE, "1.4")
    assert (checkout.cloud, checkout.region, checkout.zone) == ("aws", "eu-west-1", "eu-west-1a")
    labels = {"language": "python", "service": "checkout", "service_namespace": "shop", "node": "n1"}
    assert checkout.labels == labels
    assert checkout.strong_keys == ()
    assert (assets[QUEUE].kind, assets[QUEUE].name) == (AssetKind.QUEUE, "orders")
    assert (assets[DB].kind, assets[DB].labels) == (AssetKind.INFRASTRUCTURE, {"db.system.name": "postgresql"})
    assert assets[f"{SOURCE}/address/{PAY}"].weak_keys == (f"address:{PAY}",)


# --- matching -------------------------------------------------------------------------------------------------------


def test_a_loop_of_calls_is_a_loop_of_dependencies():
    a = message("a", client(1), server(4, parent=3))
    b = message("b", server(2, parent=1), client(3, parent=2))
    c = message("c", client(7), server(8, parent=7))  # calls itself: no dependency
    assert shown(sightings(), a, b, c) == {"a": ("b",), "b": ("a",), "c": ()}


def test_a_caller_that_comes_within_the_wait_is_found_and_a_later_one_is_not():
    early, tick, caller = (
        message("b", server(2, parent=1)),
        lambda at: message("z", server(9, at=at, trace=9)),
        lambda at: message("a", client(1, at=at, peer__service="bee")),
    )
    found = shown(sightings(wait_s=10), early, tick(9.9), caller(0))
    assert found["a"] == ("b",)
    seen = sightings(wait_s=10)
    found = shown(seen, early, tick(10.1), caller(0), tick(20), tick(20.2))
    assert (found["a"], found["bee"]) == (("bee",), ())


def test_peer_attributes_count_only_once_the_wait_is_over():
    seen = sightings(wait_s=10)
    call = message("a", client(1, server__address="10.0.0.1", server__port=80))
    assert shown(seen, call) == {"a": ()}
    assert shown(seen, message("z", server(9, at=10)))["a"] == (f"{SOURCE}/address/10.0.0.1:80",)
    answered = sightings(wait_s=10)
    assert shown(answered, call, message("b", server(2, parent=1)), message("z", server(9, at=11)))["a"] == ("b",)


def test_what_answered_once_is_not_also_told_by_its_address():
    """Spans of the callee that were sampled away make no second asset of it, before or after one that was kept."""
    at_address = {"server__address": "cart", "server__port": 80}
    before, answered, after = (message("a", client(n, trace=n, at=n, **at_address)) for n in (1, 20, 40))
    answer = message("cart-svc", server(2, parent=20, trace=20, at=20))
    found = shown(sightings(wait_s=5), before, answered, answer, after, message("z", server(9, at=90)))
    assert found["a"] == ("cart-svc",)


@pytest.mark.parametrize(
    ("attributes", "peer"),
    [
        ({"peer__service": "auth", "server__address": "10.0.0.1"}, "auth"),
        ({"db__system": "redis", "net__peer__name": "cache", "net__peer__port": 6379}, f"{SOURCE}/db/redis/cache:6379"),
        ({"db__system__name": "mysql", "server__address": "fd00::1", "server__port": 3306, "db__namespace": "x"},
         f"{SOURCE}/db/mysql/[fd00::1]:3306/x"),
        ({"messaging__system": "rabbitmq", "messaging__destination": "jobs"}, f"{SOURCE}/queue/rabbitmq/jobs"),
        ({"messaging__system": "rabbitmq", "messaging__destination": "a1", "messaging__temp_destination": "true"},
         None),
        ({"server__address": "localhost", "server__port": 80}, None),
        ({"server__address": "127.0.0.1"}, None),
        ({"server__address": "::1"}, None),
        ({"db__system": "sqlite"}, None),
        ({"server__address": "x" * 600}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_other_side_by_the_caller_s_attributes(attributes, peer):
    found = shown(sightings(wait_s=0), message("a", client(1, **attributes)), message("z", server(9, at=1)))
    assert found["a"] == (() if peer is None else (peer,))
    assert found.keys() == {"a", "z", *([peer] if peer else [])}


def test_a_peer_that_is_an_asset_of_its_own_telemetry_stays_what_it_says_of_itself():
    seen = sightings(wait_s=0)
    shown(seen, message("auth", server(5), service__version="7"), message("a", client(1, peer__service="auth")))
    seen.end_waits()
    [auth] = [asset for asset in seen.touched() if asset.id == "auth"]
    assert auth.version == "7"
    assert shown(seen)["a"] == ("auth",)


def test_a_consumer_by_its_parent_and_both_sides_of_the_queue():
    topic = {"messaging__system": "kafka", "messaging__destination__name": "t"}
    found = shown(sightings(), message("w", producer(1, **topic)), message("r", consumer(2, parent=1, **topic)))
    assert found == {
        "w": (f"{SOURCE}/queue/kafka/t", "r"),
        "r": (f"{SOURCE}/queue/kafka/t",),
        f"{SOURCE}/queue/kafka/t": (),
    }


# --- time and room --------------------------------------------------------------------------------------------------


def test_a_dependency_lapses_when_it_is_not_called_for_as_long_as_the_setting_says():
    seen = sightings(edge_lapse_s=100)
    call = [message("a", client(1)), message("b", server(2, parent=1))]
    assert shown(seen, *call)["a"] == ("b",)
    [edge] = seen.edges("a").values()
    assert (edge.calls, edge.seen_at) == (1, T0_S * 1000)
    assert shown(seen, message("a", server(5, at=99.9)))["a"] == ("b",)
    assert shown(seen, message("a", server(6, at=100)))["a"] == ()


def test_a_span_with_a_clock_ahead_does_not_make_everything_lapse():
    seen = sightings(edge_lapse_s=100)
    shown(seen, message("a", client(1)), message("b", server(2, parent=1)))
    ahead = read("spans", message("a", server(3, at=1_000_000)))
    seen.take(ahead.resources, latest=T0_S * 1000 + 5_000, at=None)
    assert seen.now == T0_S * 1000 + 5_000
    assert shown(seen)["a"] == ("b",)


def test_the_waiting_spans_have_an_end_and_a_forgotten_caller_tells_its_peer():
    seen = sightings(max_spans=10)
    many = [client(n, trace=n, peer__service="b") for n in range(1, 1001)]
    orphans = [server(n, parent=n + 5000, trace=n) for n in range(2000, 3000)]
    found = shown(seen, message("a", *many), message("c", *orphans))
    assert len(seen._matching) == 20
    assert found["a"] == ("b",)
    assert seen.edges("a")["b"].calls == 990


def test_assets_have_an_end_the_longest_unseen_are_forgotten():
    seen = sightings(max_assets=3)
    found = shown(seen, *(message(f"s{n}", server(n + 1, trace=n + 1)) for n in range(10)))
    assert list(found) == ["s7", "s8", "s9"]
    assert seen.forgotten == 7


def test_of_many_dependencies_those_with_most_calls_are_told_in_any_order():
    calls = []
    for n, times in ((1, 1), (2, 3), (3, 2), (4, 3)):
        calls += [client(100 * n + i, trace=100 * n + i, peer__service=f"d{n}") for i in range(times)]
    for order in (calls, calls[::-1]):
        seen = sightings(max_dependencies=2)
        shown(seen, message("a", *order))
        seen.end_waits()
        assert shown(seen)["a"] == ("d2", "d4")


def test_dependencies_without_number_take_no_room_without_end():
    seen = sightings(max_dependencies=2, wait_s=0)
    shown(seen, *(message("a", client(n, trace=n, at=n, peer__service=f"d{n}")) for n in range(1, 500)))
    assert len(seen.edges("a")) == 8


def test_what_processes_of_one_asset_say_differently_is_not_told_while_they_do():
    seen = sightings(stands_s=60)

    def versions(*said):
        shown(seen, *(message("a", server(n, trace=n, at=at), service__version=v) for n, (v, at) in enumerate(said, 1)))
        return seen.touched()[0].version

    assert versions(("1", 0)) == "1"
    assert versions(("2", 10), ("1", 20), ("2", 30)) is None
    assert versions(("2", 79)) is None
    assert versions(("2", 80)) == "2"


# --- other signals, and damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signal", "form", "name"), [("metrics", MetricsData, "metrics"), ("logs", LogsData, "logs")])
@pytest.mark.parametrize("as_json", [False, True])
def test_metrics_and_logs_show_assets(signal, form, name, as_json):
    data, seen = form(), sightings()
    attributes = {"host.name": "h1", "host.id": "4c4c45", "process.command_args": "--password=x"}
    pairs = [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]
    resource = getattr(data, f"resource_{name}").add().resource
    for key, value in attributes.items():
        resource.attributes.add(key=key).value.string_value = value
    in_json = json.dumps({f"resource{name.title()}": [{"resource": {"attributes": pairs}}]}).encode()
    seen.take(read(signal, in_json if as_json else data.SerializeToString()).resources, LATER, T0_S * 1000)
    [host] = seen.touched()
    assert (host.id, host.kind, host.strong_keys) == ("h1", AssetKind.INFRASTRUCTURE, ("host-id:4c4c45",))
    assert "password" not in host.model_dump_json()


@pytest.mark.parametrize(
    ("attributes", "asset_id", "kind", "key"),
    [
        ({"k8s.namespace.name": "shop", "k8s.deployment.name": "web", "k8s.deployment.uid": "u1"}, "shop/web",
         AssetKind.MICROSERVICE, "k8s-uid:u1"),
        ({"k8s.node.name": "n1", "k8s.node.uid": "u2"}, "n1", AssetKind.INFRASTRUCTURE, "k8s-uid:u2"),
        ({"k8s.pod.name": "p", "k8s.pod.uid": "u3"}, "p", AssetKind.MICROSERVICE, "k8s-uid:u3"),
        ({"k8s.pod.name": "p", "k8s.pod.uid": "u3", "k8s.container.name": "c"}, "p/c", AssetKind.MICROSERVICE, None),
        ({"cloud.resource_id": "arn:aws:rds:eu:1:db:x"}, "arn:aws:rds:eu:1:db:x", AssetKind.UNKNOWN,
         "arn:aws:rds:eu:1:db:x"),
        ({"cloud.resource_id": "/subscriptions/A"}, "/subscriptions/A", AssetKind.UNKNOWN, "azure:/subscriptions/a"),
        ({"service.name": "s", "k8s.pod.uid": "u3", "cloud.resource_id": "arn:x"}, "s", AssetKind.MICROSERVICE, None),
    ],
)  # fmt: skip
def test_identity_kind_and_strong_key(attributes, asset_id, kind, key):
    seen = sightings()
    pairs = [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]
    data = json.dumps({"resourceSpans": [{"resource": {"attributes": pairs}}]}).encode()
    seen.take(read("spans", data).resources, LATER, T0_S * 1000)
    [asset] = seen.touched()
    assert (asset.id, asset.kind, asset.strong_keys) == (asset_id, kind, (key,) if key else ())


def test_telemetry_of_nobody_is_counted():
    seen = sightings()
    assert shown(seen, message("", server(1)), message("unknown_service:python", server(2))) == {}
    assert seen.nameless == 2


@pytest.mark.parametrize("data", [b"\x0a", b"\x08\x01", b"{}", b"{", b"hello", b"", b'{"resourceSpans": 5}'])
def test_what_is_no_otlp_is_unreadable(data):
    with pytest.raises(Unreadable):
        read("spans", data)


def test_a_damaged_span_costs_itself():
    good, bad = client(1), server(2)
    for damage in ({"trace_id": b"x"}, {"span_id": b""}, {"trace_id": bytes(16)}, {"end_time_unix_nano": 0}):
        broken = type(bad)()
        broken.CopyFrom(bad)
        for name, value in damage.items():
            setattr(broken, name, value)
        reading = read("spans", message("a", broken, good))
        assert [len(r.spans) for r in reading.resources] == [1]
        assert reading.faults[0].startswith("resource 0, span 0: ")


def test_a_damaged_span_of_json_costs_itself_and_a_damaged_resource_itself():
    good = {"traceId": "ab" * 16, "spanId": "cd" * 8, "kind": "SPAN_KIND_SERVER", "endTimeUnixNano": str(T0_S * 10**9)}
    damaged = [{**good, "traceId": "zz"}, {**good, "spanId": 7}, {**good, "endTimeUnixNano": "soon"}, {},
               {**good, "attributes": 5}]  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]}
    spans = {"resource": resource, "scopeSpans": [{"spans": [*damaged, good]}]}
    document = {"resourceSpans": [spans, 7, {"resource": {"attributes": [{"key": 5, "value": {"intValue": "1"}}]}}]}
    reading = read("spans", json.dumps(document).encode())
    assert [len(r.spans) for r in reading.resources] == [1]
    assert len(reading.faults) == 7
    assert reading.resources[0].spans[0].kind == 2


def test_no_cut_and_no_flipped_byte_does_more_than_be_refused():
    for encoding, data in itertools.product(("otlp_proto", "otlp_json"), [recorded("otlp_proto")[0]]):
        data = data if encoding == "otlp_proto" else recorded()[0]
        chance, seen = random.Random(7), sightings()
        for _ in range(2_000):
            broken = bytearray(data)
            broken[chance.randrange(len(broken))] = chance.randrange(256)
            try:
                seen.take(read("spans", bytes(broken[: chance.randrange(len(broken) + 1)])).resources, LATER, None)
            except Unreadable:
                continue
            seen.touched()


def test_protobuf_of_123_bytes_is_not_taken_for_json():
    """A resource of 123 bytes begins with a line feed and the byte of a brace."""
    plain = message("x", server(1))
    found = [message("x", server(1), filled="y" * n) for n in range(1, 123)]
    (data,) = [one for one in found if one[:2] == b"\n{"]
    assert len(data) > len(plain)
    assert [r.attributes["service.name"] for r in read("spans", data).resources] == ["x"]
