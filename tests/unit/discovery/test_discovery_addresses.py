"""One machine has one weak key of its address, whoever reports it and however it writes the address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.discovery.providers.consul_catalog import Node, assets_of
from streams.discovery.providers.kubernetes_objects import NODE, Cluster, Place, asset_of
from streams.discovery.providers.mesh.entries import WORKLOADS, reading_of
from streams.discovery.providers.terraform import read_state
from streams.kit.addresses import address_key, before_a_port

SHORT, LONG = "fd00::7", "FD00:0:0:0:0:0:0:7"


def of_kubernetes(address: str, _folder: Path) -> tuple[str, ...]:
    item = {
        "metadata": {"name": "n", "uid": "u"},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }
    return asset_of(NODE, Cluster("c"), Place(), item).weak_keys


def of_mesh(address: str, _folder: Path) -> tuple[str, ...]:
    item = {"metadata": {"name": "n", "namespace": "d", "uid": "u"}, "spec": {"address": address}}
    asset = reading_of(WORKLOADS, "c", item).asset
    assert asset is not None
    return asset.weak_keys


def of_consul(address: str, _folder: Path) -> tuple[str, ...]:
    return assets_of("consul:c", [Node(Node="n", Address=address)], {})[0].weak_keys


def of_terraform(address: str, folder: Path) -> tuple[str, ...]:
    attributes = {"id": "i-1", "arn": "arn:aws:ec2:eu:1:instance/i-1", "private_ip": address}
    instance = {"mode": "managed", "type": "aws_instance", "name": "n", "instances": [{"attributes": attributes}]}
    (folder / "a.tfstate").write_text(json.dumps({"version": 4, "resources": [instance]}))
    return read_state(folder / "a.tfstate", "terraform:c")[0].weak_keys


@pytest.mark.parametrize("address", [SHORT, LONG, "10.0.0.7"])
@pytest.mark.parametrize("reported", [of_kubernetes, of_mesh, of_consul, of_terraform])
def test_all_who_report_a_machine_give_it_one_key(reported, address, tmp_path):
    assert reported(address, tmp_path) == ("address:10.0.0.7" if "." in address else f"address:[{SHORT}]",)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("DB.example.org", "db.example.org"), ("10.0.0.7", "10.0.0.7"), (LONG, f"[{SHORT}]"),
        (f"[{LONG}]", f"[{SHORT}]"), ("fe80::1%eth0", "[fe80::1%eth0]"), ("fd00::zz", "[fd00::zz]"),
    ],
)  # fmt: skip
def test_a_host_before_a_port(host, wanted):
    assert before_a_port(host) == wanted
    assert address_key(host, 80) == f"address:{wanted}:80"
