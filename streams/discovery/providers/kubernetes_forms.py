"""The parts of Kubernetes' objects that discovery reads; the rest of an object is left out. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Form(BaseModel):
    """Fields are named as in the API (camelCase); null is the same as absent."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class Meta(Form):
    name: Annotated[str, Field(min_length=1)]
    namespace: str = ""
    uid: Annotated[str, Field(min_length=1)]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Object(Form):
    metadata: Meta


class Condition(Form):
    type: str
    status: str = ""


class Conditions(Form):
    conditions: tuple[Condition, ...] = ()


class Port(Form):
    port: int
    protocol: str = "TCP"

    @property
    def scheme(self) -> str:
        return self.protocol.lower()


class Ingress(Form):
    ip: str = ""


class LoadBalancer(Form):
    ingress: tuple[Ingress, ...] = ()

    def addresses(self) -> tuple[str, ...]:
        return tuple(i.ip for i in self.ingress if i.ip)


class ServiceSpec(Form):
    type: str = "ClusterIP"
    cluster_ip: str = Field("", alias="clusterIP")
    cluster_ips: tuple[str, ...] = Field((), alias="clusterIPs")
    external_name: str = ""
    selector: dict[str, str] = {}
    ports: tuple[Port, ...] = ()


class ServiceStatus(Form):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(Object):
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()


class Container(Form):
    image: str = ""


class PodSpec(Form):
    containers: tuple[Container, ...] = ()


class TemplateMeta(Form):
    labels: dict[str, str] = {}


class Template(Form):
    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()


class DeploymentSpec(Form):
    replicas: int = 1
    template: Template = Template()


class Deployment(Object):
    spec: DeploymentSpec
    status: Conditions = Conditions()


class Job(Object):
    status: Conditions = Conditions()


class NodeSpec(Form):
    unschedulable: bool = False


class NodeInfo(Form):
    kubelet_version: str = ""


class Address(Form):
    type: str
    address: str


class Allocatable(Form):
    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?m?$")] = ""

    def cpus(self) -> float | None:
        """Whole CPUs; "3920m" is 3.92."""
        if not self.cpu:
            return None
        return float(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)


class NodeStatus(Conditions):
    allocatable: Allocatable = Allocatable()
    addresses: tuple[Address, ...] = ()
    node_info: NodeInfo = NodeInfo()


class Node(Object):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
