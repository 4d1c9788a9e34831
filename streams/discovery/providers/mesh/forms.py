"""The parts of networking.istio.io/v1 that discovery reads (istio/api: networking/v1alpha3). Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streams.discovery.providers.kubernetes_forms import Conditions, Form, Object

PortNumber = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, Field(min_length=1)]
INTERNAL = "MESH_INTERNAL"


class ServicePort(Form):
    number: PortNumber
    name: str = ""
    protocol: str = "TCP"
    target_port: PortNumber | None = None


class Workload(Form):
    """`ports`: of this endpoint, by the name of the service's port; they go before `target_port`."""

    address: str = ""
    ports: dict[str, PortNumber] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    network: str = ""
    locality: str = ""
    weight: int | None = None
    service_account: str = ""

    def port(self, service: ServicePort) -> int:
        return self.ports.get(service.name) or service.target_port or service.number


class Selector(Form):
    labels: dict[str, str] = Field(default_factory=dict)


class ServiceEntrySpec(Form):
    hosts: Annotated[tuple[Text, ...], Field(min_length=1)]
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: str = "MESH_EXTERNAL"
    resolution: str = "NONE"
    endpoints: tuple[Workload, ...] = ()
    workload_selector: Selector = Selector()
    export_to: tuple[str, ...] = ()


class ServiceEntry(Object):
    spec: ServiceEntrySpec


class WorkloadEntry(Object):
    spec: Workload
    status: Conditions = Conditions()
