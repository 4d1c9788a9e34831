"""A Backstage catalog as a source: references, what depends on what, and that a broken entity is no deletion."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.records import Asset, AssetKind, Op
from streams.discovery.ports import DiscoveryProvider, Listing
from streams.discovery.providers.backstage import BackstageProvider
from streams.discovery.providers.backstage_entities import BackstageError
from streams.discovery.providers.file_patterns import NoFileError
from streams.discovery.providers.poll import poll_once
from streams.discovery.settings import PollSettings

HEAD = "apiVersion: backstage.io/v1alpha1"
CATALOG = f"""
---
{HEAD}
kind: Component
metadata: {{name: Shop, title: The shop, labels: {{tier: gold}}}}
spec:
  type: service
  lifecycle: production
  owner: team-a
  system: sales
  dependsOn: ['resource:orders', 'Component:other/pay']
  consumesApis: [stock-api]
---
{HEAD}
kind: Resource
metadata: {{name: orders, annotations: {{maestro/asset-id: db-orders}}}}
spec: {{type: database, owner: team-a, system: sales}}
---
{HEAD}
kind: Component
metadata: {{name: stock}}
spec: {{type: worker, lifecycle: production, owner: team-b, providesApis: ['default/stock-api']}}
---
{HEAD}
kind: Resource
metadata: {{name: events, namespace: kafka}}
spec: {{type: kafka-topic, owner: team-b, dependencyOf: ['component:default/stock']}}
---
{HEAD}
kind: System
metadata: {{name: sales}}
spec: {{owner: team-a, dependsOn: ['resource:kafka/events']}}
---
{HEAD}
kind: Group
metadata: {{name: team-a}}
spec: {{type: team, children: []}}
---
apiVersion: example.org/v1
kind: Whatever
---
"""


async def listed(tmp_path: Path, text: str = CATALOG) -> dict[str, Asset]:
    (tmp_path / "shop").mkdir(exist_ok=True)
    (tmp_path / "shop" / "catalog-info.yaml").write_text(text)
    provider = BackstageProvider([f"{tmp_path}/**/catalog-info.yaml"], "eu")
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    return {asset.id: asset for asset in await provider.list()}


async def test_components_resources_and_systems_are_assets(tmp_path: Path) -> None:
    found = await listed(tmp_path)
    assert {i: a.kind for i, a in found.items()} == {
        "component:default/shop": AssetKind.MICROSERVICE,
        "db-orders": AssetKind.INFRASTRUCTURE,
        "component:default/stock": AssetKind.JOB_RUNNER,
        "resource:kafka/events": AssetKind.QUEUE,
        "system:default/sales": AssetKind.UNKNOWN,
    }
    shop = found["component:default/shop"]
    assert (shop.name, shop.owner) == ("The shop", "team-a")
    assert shop.labels == {"tier": "gold", "type": "service", "lifecycle": "production", "system": "sales"}
    assert shop.strong_keys == ("backstage:eu/component:default/shop",)
    assert found["db-orders"].strong_keys == ("backstage:eu/resource:default/orders",)


async def test_what_depends_on_what(tmp_path: Path) -> None:
    assert {i: a.depends_on for i, a in (await listed(tmp_path)).items()} == {
        "component:default/shop": ("component:default/stock", "component:other/pay", "db-orders"),
        "db-orders": (),
        "component:default/stock": ("resource:kafka/events",),
        "resource:kafka/events": (),
        "system:default/sales": ("component:default/shop", "db-orders", "resource:kafka/events"),
    }


def entity(kind: str = "Component", metadata: str = "{name: b}", spec: str = "{type: service}") -> str:
    return f"---\n{HEAD}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (entity("Componet"), "document 1: kind 'Componet' is none of component, "),
        (entity(metadata="{title: b}"), r"document 1: metadata\.name: Field required"),
        (entity(metadata="{name: b, labels: {v: 1.10}}"), r"document 1: metadata\.labels\.v: "),
        (entity(spec="{dependsOn: resource:x}"), r"document 1: spec\.dependsOn: "),
        (entity(spec="{dependsOn: [orders]}"), "document 1: 'orders' is no reference such as"),
        (entity(spec="{dependsOn: ['resource:/x']}"), "document 1: 'resource:/x' is no reference"),
        (entity(metadata="{name: A}"), "document 1: component:default/a is already in .*document 0"),
        (entity(metadata=f"{{name: {'x' * 600}}}"), r"document 1: \('id',\)"),
        ("---\nkind: Component\n", "document 1: apiVersion: Field required"),
        ("---\njust text\n", "document 1: "),
        ("---\na: [", "catalog-info.yaml: cannot be read"),
    ],
)
async def test_a_broken_entity_fails_the_listing(tmp_path: Path, broken: str, why: str) -> None:
    (tmp_path / "catalog-info.yaml").write_text(entity(metadata="{name: a}") + broken)
    provider = BackstageProvider([f"{tmp_path}/catalog-info.yaml"])
    with pytest.raises(BackstageError, match=why):
        await provider.list()
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


async def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoFileError, match="no such file"):
        await BackstageProvider([f"{tmp_path}/**/catalog-info.yaml"]).list()


async def test_an_annotation_moves_what_refers_to_it_too(tmp_path: Path) -> None:
    text = entity(metadata="{name: a, annotations: {maestro/asset-id: svc-a}}") + entity(
        spec="{dependsOn: ['component:a']}"
    )
    assert (await listed(tmp_path, text))["component:default/b"].depends_on == ("svc-a",)
