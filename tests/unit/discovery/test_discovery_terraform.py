"""A Terraform state as a source: which resources are assets, their keys, and that half a state is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.records import Asset, AssetKind, Op
from streams.discovery.ports import DiscoveryProvider, Listing
from streams.discovery.providers.poll import poll_once
from streams.discovery.providers.terraform import CLOUDS, KINDS, TerraformProvider, TerraformStateError
from streams.discovery.settings import PollSettings

ARN = "arn:aws:rds:eu-west-1:123456789012:db:orders"


def resource(kind: str, name: str, *instances: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"mode": "managed", "type": kind, "name": name, "instances": list(instances), **more}


def of(*dependencies: str, **attributes: Any) -> dict[str, Any]:
    return {"schema_version": 1, "attributes": attributes, "dependencies": list(dependencies), "private": "x"}


def write(path: Path, *resources: dict[str, Any], version: int = 4) -> Path:
    state = {"version": version, "terraform_version": "1.9.0", "serial": 7, "lineage": "l", "outputs": {}}
    path.write_text(json.dumps({**state, "resources": resources}))
    return path


async def listed(tmp_path: Path, *resources: dict[str, Any]) -> dict[str, Asset]:
    provider = TerraformProvider(write(tmp_path / "x.tfstate", *resources), "prod")
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    return {asset.id: asset for asset in await provider.list()}


async def test_a_resource_is_an_asset_and_its_secrets_are_not_told(tmp_path: Path) -> None:
    tags = {"team": "shop"}
    found = await listed(
        tmp_path,
        resource("aws_db_instance", "orders", of(id="db-1", arn=ARN, password="hunter2", name="o", tags=tags)),
        resource("aws_iam_role", "r", of(id="r")),
        resource("aws_instance", "looked_up", of(id="i-9"), mode="data"),
    )
    asset = found["terraform:prod/aws_db_instance.orders"]
    assert list(found) == [asset.id]
    assert (asset.kind, asset.cloud, asset.region, asset.name) == (AssetKind.INFRASTRUCTURE, "aws", "eu-west-1", "o")
    assert asset.strong_keys == (ARN,)
    assert asset.labels == {"team": "shop", "terraform_type": "aws_db_instance"}
    assert "hunter2" not in asset.model_dump_json()


@pytest.mark.parametrize(
    ("kind", "attributes", "keys"),
    [
        ("google_pubsub_topic", {"id": "projects/p/topics/t"}, ("gcp:projects/p/topics/t",)),
        ("google_storage_bucket", {"id": "b"}, ()),
        ("azurerm_lb", {"id": "/subscriptions/S/x/LB"}, ("azure:/subscriptions/s/x/lb",)),
        ("aws_instance", {"id": "i-1", "arn": ""}, ()),
    ],
)
async def test_only_what_is_unique_in_the_world_is_a_strong_key(
    tmp_path: Path, kind: str, attributes: dict[str, str], keys: tuple[str, ...]
) -> None:
    (asset,) = (await listed(tmp_path, resource(kind, "x", of(**attributes)))).values()
    assert asset.strong_keys == keys


async def test_instances_modules_and_what_they_depend_on(tmp_path: Path) -> None:
    found = await listed(
        tmp_path,
        resource(
            "aws_instance", "web", {**of(id="1", private_ip="10.0.0.7"), "index_key": 0}, {**of(id="2"), "index_key": 1}
        ),
        resource("aws_sqs_queue", "jobs", of("aws_iam_role.r", id="q"), module='module.a["x]y"].module.b[0]'),
        resource(
            "aws_lb", "front", of("aws_instance.web", "module.a.module.b.aws_sqs_queue.jobs", "data.aws_ami.x", id="l")
        ),
        resource("aws_instance", "old", {**of(id="3"), "deposed": "0a1b2c3d"}),
    )
    web = ("terraform:prod/aws_instance.web[0]", "terraform:prod/aws_instance.web[1]")
    queue = 'terraform:prod/module.a["x]y"].module.b[0].aws_sqs_queue.jobs'
    assert set(found) == {*web, queue, "terraform:prod/aws_lb.front"}
    assert found["terraform:prod/aws_lb.front"].depends_on == (*web, queue)
    assert (found[queue].kind, found[queue].depends_on) == (AssetKind.QUEUE, ())
    assert found[web[0]].weak_keys == ("address:10.0.0.7",)


async def test_a_state_of_nothing_is_a_whole_listing(tmp_path: Path) -> None:
    assert await listed(tmp_path) == {}


def test_each_known_kind_is_of_a_known_cloud() -> None:
    assert {name.partition("_")[0] for name in KINDS} == set(CLOUDS)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (resource("aws_lb", "b", of(name="no id")), r"x\.tfstate: aws_lb\.b: id: Field required"),
        (resource("aws_lb", "b", of(id="x", tags={"pin": 1234})), r"x\.tfstate: aws_lb\.b: tags\.pin: Input should be"),
        (resource("aws_lb", "b", {"attributes_flat": {}}), r"resources\.1\.instances\.0\.attributes: Field required"),
        ({"mode": "managed"}, r"x\.tfstate: resources\.1\.type: Field required"),
    ],
)
async def test_a_broken_resource_fails_the_listing(tmp_path: Path, broken: dict[str, Any], why: str) -> None:
    good = resource("aws_lb", "a", of(id="a"))
    provider = TerraformProvider(write(tmp_path / "x.tfstate", good, broken))
    with pytest.raises(TerraformStateError, match=why) as caught:
        await provider.list()
    assert "1234" not in str(caught.value)
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


async def test_half_a_file_another_format_and_no_file_are_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfstate", version=3)
    with pytest.raises(TerraformStateError, match="format 3, 4 is read"):
        await TerraformProvider(path).list()
    path.write_text(path.read_text()[:-9])
    with pytest.raises(TerraformStateError, match=r"x\.tfstate: cannot be read"):
        await TerraformProvider(path).list()
    with pytest.raises(TerraformStateError, match=r"gone\.tfstate: cannot be read"):
        await TerraformProvider(tmp_path / "gone.tfstate").list()
