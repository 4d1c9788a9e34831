"""Entities of a Backstage catalog as assets: components, resources and systems. Pure.

    system --depends on--> its parts --depends on--> `dependsOn`, who names it in `dependencyOf`,
                                                     and the components that provide the APIs it consumes

Ids are Backstage's own references (`component:default/shop`), or the annotation `maestro/asset-id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from schemas.records import Asset, AssetKind
from streams.kit.validation import faults

ASSET_ID = "maestro/asset-id"
OF_BACKSTAGE = "backstage.io/"
ASSETS = ("component", "resource", "system")
OTHERS = ("api", "domain", "group", "location", "user")
COMPONENTS: Mapping[str, AssetKind] = {
    "service": AssetKind.MICROSERVICE,
    "website": AssetKind.MICROSERVICE,
    "data-pipeline": AssetKind.DATA_PIPELINE,
    "pipeline": AssetKind.DATA_PIPELINE,
    "job": AssetKind.JOB_RUNNER,
    "worker": AssetKind.JOB_RUNNER,
}
QUEUES = ("queue", "topic", "kafka-topic", "message-queue")


class BackstageError(ValueError):
    """An entity that cannot be read; the message names its place and the field."""


class _Metadata(BaseModel):
    name: str = Field(min_length=1)
    namespace: str = "default"
    title: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Spec(BaseModel):
    type: str = ""
    lifecycle: str = ""
    owner: str | None = None
    system: str | None = None
    dependsOn: list[str] = []
    dependencyOf: list[str] = []
    providesApis: list[str] = []
    consumesApis: list[str] = []


class _Header(BaseModel):
    apiVersion: str
    kind: str


class Entity(_Header):
    metadata: _Metadata
    spec: _Spec = _Spec()

    @property
    def ref(self) -> str:
        return f"{self.kind}:{self.metadata.namespace}/{self.metadata.name}".lower()


@dataclass(frozen=True, slots=True)
class Placed:
    entity: Entity
    place: str

    def ref_of(self, text: str, kind: str = "") -> str:
        """[kind:][namespace/]name as a whole reference; `kind` where the field implies one. Raises BackstageError."""
        head, colon, rest = text.rpartition(":")
        namespace, slash, name = rest.rpartition("/")
        found_kind, found_namespace = (
            (head if colon else kind),
            (namespace if slash else self.entity.metadata.namespace),
        )
        if not (found_kind and found_namespace and name) or ":" in found_kind:
            raise BackstageError(f"{self.place}: {text!r} is no reference such as component:default/shop")
        return f"{found_kind}:{found_namespace}/{name}".lower()


def read_entity(document: object, place: str) -> Placed | None:
    """None: of a kind that is no asset, or of another API. Raises BackstageError."""
    try:
        header = _Header.model_validate(document, strict=True)
        if not header.apiVersion.startswith(OF_BACKSTAGE) or header.kind.lower() in OTHERS:
            return None
        if header.kind.lower() not in ASSETS:
            raise BackstageError(f"{place}: kind {header.kind!r} is none of {', '.join((*ASSETS, *OTHERS))}")
        return Placed(Entity.model_validate(document, strict=True), place)
    except ValidationError as error:
        raise BackstageError(f"{place}: {faults(error)}") from error


def assets_of(source: str, placed: Iterable[Placed]) -> list[Asset]:
    """In their order. Raises BackstageError, also for an entity that is there twice."""
    entities: dict[str, Placed] = {}
    for one in placed:
        other = entities.setdefault(one.entity.ref, one)
        if other is not one:
            raise BackstageError(f"{one.place}: {one.entity.ref} is already in {other.place}")
    ids = {ref: one.entity.metadata.annotations.get(ASSET_ID) or ref for ref, one in entities.items()}
    needs = _needs(entities)
    return [_asset(source, ref, one, ids, needs[ref]) for ref, one in entities.items()]


def _needs(entities: Mapping[str, Placed]) -> dict[str, set[str]]:
    """The references that each depends on."""
    needs: dict[str, set[str]] = {ref: set() for ref in entities}
    providers: dict[str, set[str]] = {}
    for ref, one in entities.items():
        for api in one.entity.spec.providesApis:
            providers.setdefault(one.ref_of(api, "api"), set()).add(ref)
    for ref, one in entities.items():
        spec = one.entity.spec
        needs[ref].update(one.ref_of(text) for text in spec.dependsOn)
        needs[ref].update(p for api in spec.consumesApis for p in providers.get(one.ref_of(api, "api"), ()))
        for user in [one.ref_of(text) for text in spec.dependencyOf]:
            needs.get(user, set()).add(ref)
        if spec.system:
            needs.get(one.ref_of(spec.system, "system"), set()).add(ref)
    return {ref: found - {ref} for ref, found in needs.items()}


def _asset(source: str, ref: str, one: Placed, ids: Mapping[str, str], needs: Iterable[str]) -> Asset:
    metadata, spec = one.entity.metadata, one.entity.spec
    own = {"type": spec.type, "lifecycle": spec.lifecycle, "system": spec.system or ""}
    try:
        return Asset(
            id=ids[ref],
            name=metadata.title or metadata.name,
            kind=_kind_of(one.entity),
            owner=spec.owner or None,
            labels={**metadata.labels, **{k: v for k, v in own.items() if v}},
            depends_on=tuple(sorted({ids.get(need, need) for need in needs})),
            strong_keys=(f"backstage:{source.partition(':')[2]}/{ref}",),
        )
    except ValidationError as error:
        raise BackstageError(f"{one.place}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error


def _kind_of(entity: Entity) -> AssetKind:
    """A system is only a name for its parts, a library does not run: unknown."""
    kind, type_ = entity.kind.lower(), entity.spec.type.lower()
    if kind == "resource":
        return AssetKind.QUEUE if type_ in QUEUES else AssetKind.INFRASTRUCTURE
    return COMPONENTS.get(type_, AssetKind.UNKNOWN) if kind == "component" else AssetKind.UNKNOWN
