"""Which sources the options of `maestro discover` name; what they find is shown with each provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.discovery.ports import Listing
from topology.cli.root import Misused
from topology.discover.sources import Named, shared_sources

KUBECONFIG = """
current-context: eu
contexts: [{name: eu, context: {cluster: eu, user: maestro}}]
clusters: [{name: eu, cluster: {server: "http://127.0.0.1:6443"}}]
users: [{name: maestro, user: {token: t}}]
"""
MAPPING = "{csv: {file: servers.csv}, asset: {id: 'cmdb/{serial}'}}"
GROUP = "- targets: [{}]\n"


async def test_each_option_is_a_source_and_the_patterns_of_a_job_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GROUP.format("10.0.0.7:80"))
    (tmp_path / "b.yml").write_text(GROUP.format("10.0.0.8:80"))
    found = shared_sources(
        Named(
            file=[tmp_path / "fleet.yaml"],
            haproxy=["edge=127.0.0.1:9999"],
            prometheus=["eu=http://prometheus:9090/?a=b"],
            kubernetes=[f"prod={written(tmp_path / 'kubeconfig', KUBECONFIG)}"],
            mesh=[f"prod={tmp_path}/kubeconfig"],
            consul=["dc1=http://127.0.0.1:8500"],
            terraform=[f"shop={tmp_path}/terraform.tfstate"],
            file_sd=[f"api={tmp_path}/a.yml", f"api={tmp_path}/b.yml"],
            backstage=[f"eu={tmp_path}/*/catalog-info.yaml"],
            cmdb=[f"dc={written(tmp_path / 'servers.yaml', MAPPING)}"],
            otel=["eu=otlp_spans", "eu=metrics:otlp_metrics", f"us=file:{tmp_path}/traces.json"],
        )
    )
    assert [s.source for s in found] == [
        "static:fleet", "haproxy:edge", "prometheus:eu", "k8s:prod", "mesh:prod", "consul:dc1", "terraform:shop",
        "cmdb:dc", "file_sd:api", "backstage:eu", "opentelemetry:eu", "opentelemetry:us",
    ]  # fmt: skip
    assert isinstance(found[8], Listing)
    assert [asset.id for asset in await found[8].list()] == ["api/10.0.0.7:80", "api/10.0.0.8:80"]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (Named(kubernetes=["prod=/nowhere/kubeconfig"]), "--kubernetes prod: /nowhere/kubeconfig: cannot be read"),
        (Named(kubernetes=["prod=in-cluster"]), "--kubernetes prod: neither KUBECONFIG names a file nor"),
        (Named(mesh=["prod=/nowhere/kubeconfig"]), "--mesh prod: /nowhere/kubeconfig: cannot be read"),
        (Named(consul=["http://127.0.0.1:8500"]), "is not NAME=URL"),
        (Named(otel=["otlp_spans"]), "--otel 'otlp_spans' is not NAME=TOPIC"),
        (Named(terraform=["a=x", "a=y"]), "named twice: terraform:a"),
        (Named(cmdb=["dc=/nowhere/servers.yaml"]), "--cmdb dc: /nowhere/servers.yaml: cannot be read"),
    ],
)
def test_what_names_no_source_is_refused(named: Named, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Misused, match=says.replace("--", "-?-")):
        shared_sources(named)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
