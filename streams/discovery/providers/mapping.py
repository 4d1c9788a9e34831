"""The mapping file of `MappedProvider`: where the rows come from, and which of their fields make an asset.

    csv: {file: servers.csv}                 or   rest: {url: ..., rows: result, paging: {by: offset, ...}}
    filter: {status: [installed]}                 rows of other values are no assets
    asset: {id: "cmdb/{sys_id}", kind: {field: class, values: {server: infrastructure}}, ...}

A template takes the text of fields in braces, of inner ones with a dot. All scalars of the file are read as written.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from schemas.records import AssetKind
from streams.kit.validation import faults


class MappingError(ValueError):
    """A mapping or a row that cannot be used; the message names the file or the row, and the field."""


@lru_cache(maxsize=1024)
def parts_of(template: str) -> tuple[tuple[str, str], ...]:
    """Text and the field that follows it, "" = none. Raises ValueError. Each row asks for the same few templates."""
    parts = []
    for text, field, form, conversion in Formatter().parse(template):
        if field == "" or form or conversion:
            raise ValueError(f"{template!r}: a field is its name in braces, such as {{name}}")
        parts.append((text, field or ""))
    return tuple(parts)


def _readable(template: str) -> str:
    parts_of(template)
    return template


def _with_field(template: str) -> str:
    if not any(field for _, field in parts_of(template)):
        raise ValueError(f"{template!r} names no field, so all rows would be one asset")
    return template


Template = Annotated[str, AfterValidator(_readable)]
Named = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CsvSource(_Part):
    """`file` is relative to the mapping; UTF-8, the first line names the columns."""

    file: Named
    delimiter: str = Field(",", min_length=1, max_length=1)


class OffsetPaging(_Part):
    """The defaults are ServiceNow's. The total is needed: without it a page that is missing looks like the end."""

    by: Literal["offset"]
    offset: Named = "sysparm_offset"
    limit: Named = "sysparm_limit"
    size: int = Field(1000, ge=1, le=10_000)


class LinkPaging(_Part):
    """The header `Link` with rel="next"."""

    by: Literal["link"]


class NextPaging(_Part):
    """The address of the next page stands in a field of the answer, which is null or empty in the last one."""

    by: Literal["next"]
    field: Named = "next"


class OnePage(_Part):
    by: Literal["none"]


class Basic(_Part):
    """Names of environment variables."""

    user: Named
    password: Named


class RestSource(_Part):
    """Secrets are never in the file: `basic`, `bearer` and `headers` name environment variables."""

    url: str = Field(pattern=r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$")
    params: dict[str, str] = {}
    rows: str = ""
    """The field of the answer that holds the rows, "" = the answer is the list."""
    paging: Annotated[OffsetPaging | LinkPaging | NextPaging | OnePage, Field(discriminator="by")]
    total_header: str = ""
    total_field: str = ""
    basic: Basic | None = None
    bearer: str = ""
    headers: dict[str, str] = {}

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            _ = urlsplit(url).port
        except ValueError as error:
            raise ValueError(f"{url!r} is no address: {error}") from None
        return url

    @model_validator(mode="after")
    def _counted(self) -> RestSource:
        if self.total_header and self.total_field:
            raise ValueError("total_header and total_field: give one")
        if self.basic and self.bearer:
            raise ValueError("basic and bearer: give one")
        if self.paging.by == "offset" and not (self.total_header or self.total_field):
            raise ValueError("paging by offset needs total_header or total_field")
        return self


class KindOf(_Part):
    """A value that is not in `values` is `otherwise`; without it, a fault of the row."""

    field: Named
    values: dict[str, AssetKind]
    otherwise: AssetKind | None = None


class Each(_Part):
    """One for each value of a field that is a list, or a text with separators; `{value}` in the template."""

    each: Named
    separator: str = Field(",", min_length=1)
    template: Annotated[str, AfterValidator(_with_field)] = "{value}"

    @model_validator(mode="after")
    def _of_value(self) -> Each:
        if any(field.partition(".")[0] not in ("", "value") for _, field in parts_of(self.template)):
            raise ValueError(f"{self.template!r}: the only field here is {{value}}, or what is in it")
        return self


def _form(given: object) -> str:
    """So that a fault is told of the form that was given, not of both."""
    return "text" if isinstance(given, str) else "fields"


_KeyTemplate = Annotated[str, AfterValidator(_with_field), Tag("text")]
_AnyTemplate = Annotated[str, AfterValidator(_readable), Tag("text")]
_Each = Annotated[Each, Tag("fields")]
Keys = list[Annotated[_KeyTemplate | _Each, Discriminator(_form)]]
Needs = list[Annotated[_AnyTemplate | _Each, Discriminator(_form)]]
Kind = Annotated[Annotated[AssetKind, Tag("text")] | Annotated[KindOf, Tag("fields")], Discriminator(_form)]


class AssetMapping(_Part):
    """What a template gives with one of its fields empty is left out; an empty `id` is a fault of the row."""

    id: Annotated[str, AfterValidator(_with_field)]
    kind: Kind = AssetKind.UNKNOWN
    name: Template = ""
    region: Template = ""
    zone: Template = ""
    tenant: Template = ""
    owner: Template = ""
    labels: dict[str, Template] = {}
    strong_keys: Keys = []
    weak_keys: Keys = []
    depends_on: Needs = []


class Mapping(_Part):
    csv: CsvSource | None = None
    rest: RestSource | None = None
    asset: AssetMapping
    filter: dict[str, list[str]] = {}
    """A row is an asset if each of these fields has one of its values."""
    empty_values: list[str] = []
    """Texts that say nothing, such as "Unknown": as if the field were empty."""
    freshness_s: float = Field(300.0, ge=1.0, le=86_400.0)
    """Between listings."""

    @model_validator(mode="after")
    def _one_source(self) -> Mapping:
        if (self.csv is None) == (self.rest is None):
            raise ValueError("give one of csv and rest")
        return self


def read_mapping(path: Path) -> Mapping:
    """Raises MappingError with every fault."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # 1.10 stays 1.10
        return Mapping.model_validate(content)
    except ValidationError as error:
        raise MappingError(f"{path}: {faults(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error
