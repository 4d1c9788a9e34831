"""Rows of a described system as assets, by its mapping. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from schemas.records import Asset, AssetKind
from streams.discovery.providers.mapping import AssetMapping, Each, KindOf, MappingError, parts_of
from streams.discovery.providers.mapping import Mapping as Described
from streams.kit.validation import faults

ABSENT = object()
"""Not there at all, not even as null."""


@dataclass(frozen=True, slots=True)
class Row:
    fields: Mapping[str, object]
    place: str
    empty_values: frozenset[str] = frozenset()

    def value(self, field: str) -> object:
        """By its whole name first (`location.name` is one field in ServiceNow's answers), then inwards."""
        return inner(self.fields, field)

    def text(self, field: str) -> str:
        """ "" = absent or empty. Raises MappingError for what is no scalar."""
        text = self.scalar(self.value(field), field)
        return "" if text in self.empty_values else text

    def scalar(self, value: object, field: str) -> str:
        if value is ABSENT or value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value).strip()
        raise MappingError(f"{self.place}: {field} is no text; name what is in it with a dot, such as {field}.value")

    def filled(self, template: str) -> str:
        """ "" = one of its fields is empty."""
        said = ""
        for text, field in parts_of(template):
            value = self.text(field) if field else ""
            if field and not value:
                return ""
            said += text + value
        return said

    def several(self, templates: Sequence[str | Each]) -> tuple[str, ...]:
        """Each once, in their order."""
        found: dict[str, None] = {}
        for one in templates:
            texts = [self.filled(one)] if isinstance(one, str) else self._each(one)
            found |= dict.fromkeys(text for text in texts if text)
        return tuple(found)

    def _each(self, one: Each) -> list[str]:
        value = self.value(one.each)
        values = value if isinstance(value, list) else self.text(one.each).split(one.separator)
        return [Row({"value": v}, self.place, self.empty_values).filled(one.template) for v in values]


def inner(content: object, field: str) -> object:
    """What `field` names in it, or ABSENT; an empty reference ("" instead of an object) has nothing in it."""
    if not isinstance(content, Mapping):
        return ABSENT
    if field in content:
        return content[field]
    head, dot, rest = field.partition(".")
    return inner(content.get(head), rest) if dot else ABSENT


def fields_of(described: Described) -> list[str]:
    """All that the mapping names, sorted."""
    asset, fields = described.asset, set(described.filter)
    if isinstance(asset.kind, KindOf):
        fields.add(asset.kind.field)
    templates = [asset.id, asset.name, asset.region, asset.zone, asset.tenant, asset.owner, *asset.labels.values()]
    for one in (*templates, *asset.strong_keys, *asset.weak_keys, *asset.depends_on):
        fields.update([one.each] if isinstance(one, Each) else (field for _, field in parts_of(one) if field))
    return sorted(fields)


def assets_of(described: Described, placed: Iterable[tuple[Mapping[str, object], str]]) -> list[Asset]:
    """In their order. Raises MappingError, also for an id that is there twice."""
    empty = frozenset(described.empty_values)
    places: dict[str, str] = {}
    found = []
    for fields, place in placed:
        row = Row(fields, place, empty)
        if not _is_wanted(described, row):
            continue
        asset = _asset(described.asset, row)
        if (other := places.setdefault(asset.id, place)) != place:
            raise MappingError(f"{place}: id {asset.id!r} is already that of {other}")
        found.append(asset)
    return found


def _is_wanted(described: Described, row: Row) -> bool:
    """Raises MappingError if a field is not there at all: a name that changed would drop every row."""
    for field in described.filter:
        if row.value(field) is ABSENT:
            raise MappingError(f"{row.place}: no field {field}, which the filter asks for")
    return all(row.scalar(row.value(field), field) in values for field, values in described.filter.items())


def _asset(mapping: AssetMapping, row: Row) -> Asset:
    asset_id = row.filled(mapping.id)
    if not asset_id:
        raise MappingError(f"{row.place}: no id: a field of {mapping.id!r} is absent or empty")
    labels = {name: row.filled(template) for name, template in mapping.labels.items()}
    try:
        return Asset(
            id=asset_id,
            name=row.filled(mapping.name),
            kind=_kind_of(mapping.kind, row),
            region=row.filled(mapping.region) or None,
            zone=row.filled(mapping.zone) or None,
            tenant=row.filled(mapping.tenant) or None,
            owner=row.filled(mapping.owner) or None,
            labels={name: text for name, text in labels.items() if text},
            strong_keys=row.several(mapping.strong_keys),
            weak_keys=row.several(mapping.weak_keys),
            depends_on=tuple(sorted(set(row.several(mapping.depends_on)) - {asset_id})),
        )
    except ValidationError as error:
        raise MappingError(f"{row.place}: {faults(error)}") from error


def _kind_of(kind: AssetKind | KindOf, row: Row) -> AssetKind:
    if isinstance(kind, AssetKind):
        return kind
    said = row.text(kind.field)
    found = kind.values.get(said, kind.otherwise)
    if found is None:
        raise MappingError(f"{row.place}: {kind.field} {said!r} is not in the values of `kind`, which has no otherwise")
    return found
