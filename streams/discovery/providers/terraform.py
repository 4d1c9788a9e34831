"""What a Terraform state (format 4) says exists: its managed resources of known kinds.

Attributes may hold secrets: of them only tags, labels, place and identity are told. Depends on the state's own
`dependencies`, as far as these are of known kinds. Objects that wait for their destruction (`deposed`) are left out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from schemas.records import Asset, AssetKind
from streams.kit.addresses import address_key
from streams.kit.validation import faults

FORMAT = 4
CLOUDS = {"aws": "aws", "google": "gcp", "azurerm": "azure"}
_OF_KIND = {
    AssetKind.MICROSERVICE: """aws_lambda_function aws_ecs_service google_cloud_run_service google_cloud_run_v2_service
        azurerm_container_app azurerm_linux_web_app azurerm_linux_function_app""",
    AssetKind.DATA_PIPELINE: "aws_glue_job google_dataflow_job azurerm_data_factory",
    AssetKind.JOB_RUNNER: "aws_batch_compute_environment google_cloud_run_v2_job azurerm_batch_pool",
    AssetKind.QUEUE: """aws_sqs_queue aws_sns_topic aws_kinesis_stream aws_msk_cluster google_pubsub_topic
        google_pubsub_subscription azurerm_servicebus_queue azurerm_servicebus_topic azurerm_eventhub""",
    AssetKind.INFRASTRUCTURE: """aws_instance aws_lb aws_db_instance aws_rds_cluster aws_eks_cluster aws_ecs_cluster
        aws_elasticache_replication_group aws_dynamodb_table aws_s3_bucket google_compute_instance
        google_container_cluster google_sql_database_instance google_redis_instance google_storage_bucket
        azurerm_linux_virtual_machine azurerm_windows_virtual_machine azurerm_kubernetes_cluster
        azurerm_mssql_database azurerm_redis_cache azurerm_storage_account azurerm_lb""",
}
KINDS: Mapping[str, AssetKind] = {name: kind for kind, names in _OF_KIND.items() for name in names.split()}


class TerraformStateError(ValueError):
    """A state that cannot be read whole; the message names the file and the resource."""


class _Attributes(BaseModel):
    """All others are the resource's own business."""

    id: str
    arn: str | None = None
    name: str | None = None
    private_ip: str | None = None
    region: str | None = None
    location: str | None = None
    zone: str | None = None
    availability_zone: str | None = None
    tags: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class _Instance(BaseModel):
    attributes: dict[str, object]
    index_key: int | str | None = None
    deposed: str | None = None
    dependencies: list[str] = []


class _Resource(BaseModel):
    mode: str
    type: str
    name: str
    module: str = ""
    instances: list[_Instance]

    @property
    def address(self) -> str:
        return ".".join(part for part in (self.module, self.type, self.name) if part)


class _State(BaseModel):
    version: int
    resources: list[_Resource]


class TerraformProvider:
    """`path` is read anew at every listing; `workspace` names it: source `terraform:<workspace>`."""

    complete = True

    def __init__(self, path: Path, workspace: str = "default", freshness_s: float = 60.0) -> None:
        self.source, self.scope = f"terraform:{workspace}", f"terraform/{workspace}"
        self.freshness_s = freshness_s
        self._path = path

    async def list(self) -> list[Asset]:
        """Raises TerraformStateError; never gives a part of the state."""
        return await asyncio.to_thread(read_state, self._path, self.source)


def read_state(path: Path, source: str) -> list[Asset]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        state = _State.model_validate(content, strict=True)
    except ValidationError as error:
        raise TerraformStateError(f"{path}: {faults(error)}") from error
    except (OSError, ValueError) as error:
        raise TerraformStateError(f"{path}: cannot be read: {error}") from error
    if state.version != FORMAT:
        raise TerraformStateError(f"{path}: format {state.version}, {FORMAT} is read")
    known = [r for r in state.resources if r.mode == "managed" and r.type in KINDS]
    instances = [(r, i, _address(r, i)) for r in known for i in r.instances if i.deposed is None]
    ids: dict[str, list[str]] = {}
    for resource, _, address in instances:
        ids.setdefault(_plain(resource.address), []).append(f"{source}/{address}")
    return [_asset(source, r, i, address, ids, f"{path}: {address}") for r, i, address in instances]


def _address(resource: _Resource, instance: _Instance) -> str:
    key = "" if instance.index_key is None else f"[{json.dumps(instance.index_key)}]"
    return f"{resource.address}{key}"


def _plain(address: str) -> str:
    """Without the keys of modules: `dependencies` name none, module.a["x"].b is module.a.b there."""
    plain, depth, quoted = "", 0, False
    for char in address:
        quoted ^= char == '"'
        depth += 0 if quoted else (char == "[")
        plain += "" if depth else char
        depth -= 0 if quoted else (char == "]")
    return plain


def _asset(
    source: str, resource: _Resource, instance: _Instance, address: str, ids: Mapping[str, list[str]], place: str
) -> Asset:
    try:
        said = _Attributes.model_validate(instance.attributes, strict=True)
        cloud = CLOUDS[resource.type.partition("_")[0]]
        needed = {i for d in instance.dependencies for i in ids.get(_plain(d), ())} - {f"{source}/{address}"}
        region = said.region or said.location or (_region_of(said.arn) if said.arn else None)
        return Asset(
            id=f"{source}/{address}",
            name=said.name or resource.name,
            kind=KINDS[resource.type],
            cloud=cloud,
            region=region or None,
            zone=said.availability_zone or said.zone or None,
            labels={**(said.labels or {}), **(said.tags or {}), "terraform_type": resource.type},
            depends_on=tuple(sorted(needed)),
            strong_keys=_strong_keys(cloud, said),
            weak_keys=(address_key(said.private_ip),) if said.private_ip else (),
        )
    except ValidationError as error:
        raise TerraformStateError(f"{place}: {faults(error)}") from error


def _strong_keys(cloud: str, said: _Attributes) -> tuple[str, ...]:
    """An ARN, or an id that names project or subscription: others are unique in their account only."""
    if said.arn:
        return (said.arn,)
    if cloud == "gcp" and said.id.startswith("projects/"):
        return (f"gcp:{said.id}",)
    if cloud == "azure" and said.id.lower().startswith("/subscriptions/"):
        return (f"azure:{said.id.lower()}",)
    return ()


def _region_of(arn: str) -> str:
    """arn:partition:service:region:account:resource"""
    parts = arn.split(":")
    return parts[3] if len(parts) > 5 else ""
