"""How an API server of Kubernetes is reached: given by hand, as a pod's own account, or by a kubeconfig file."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from streams.kit.addresses import host_port

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Entry = Mapping[str, object]


class AccessError(ValueError):
    """The API server cannot be reached as described; the message names the file and what is missing."""


@dataclass(frozen=True, slots=True)
class Access:
    """`token_file` is read at each request, since a pod's token is renewed; it goes before `token`."""

    url: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None = the system's certificate authorities."""
    cluster: str = "cluster"

    def verify(self) -> ssl.SSLContext:
        """Whom an HTTP client trusts. To read the system's authorities takes longer than an answer does."""
        return self.tls or httpx.create_ssl_context(trust_env=False)

    def headers(self) -> dict[str, str]:
        """Raises AccessError."""
        try:
            token = self.token_file.read_text(encoding="ascii").strip() if self.token_file else self.token
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"{self.token_file}: the token cannot be read: {error}") from error
        return {"accept": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}


def given(url: str, token: str = "", token_file: Path | None = None, ca_file: Path | None = None) -> Access:
    """Raises AccessError."""
    try:
        tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    except OSError as error:
        raise AccessError(f"{ca_file}: the certificate cannot be read: {error}") from error
    return Access(url.rstrip("/"), token, token_file, tls)


def in_cluster(environment: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Of the service account of the pod that this runs in."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").is_file():
        raise AccessError(f"neither KUBECONFIG names a file nor is there a pod's account in {account}")
    return given(f"https://{host_port(host, port)}", token_file=account / "token", ca_file=account / "ca.crt")


def from_environment(environment: Mapping[str, str]) -> Access:
    """KUBECONFIG goes before the pod's account. Raises AccessError."""
    files = [Path(name) for name in environment.get("KUBECONFIG", "").split(os.pathsep) if name]
    return kubeconfig(files[0]) if files else in_cluster(environment)


def kubeconfig(path: Path, context: str = "") -> Access:
    """Of one file and its `current-context` unless given. Raises AccessError; programs (`exec`) are not run."""
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise AccessError(f"{path}: is no mapping")
        chosen = _named(content, "contexts", context or str(content.get("current-context", "")), path)
        cluster = _named(content, "clusters", str(chosen.get("cluster", "")), path)
        user = _named(content, "users", str(chosen.get("user", "")), path) if chosen.get("user") else {}
        return _access(cluster, user, path, str(chosen.get("cluster")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, binascii.Error) as error:
        raise AccessError(f"{path}: cannot be read: {error}") from error


def _access(cluster: Entry, user: Entry, path: Path, name: str) -> Access:
    if "exec" in user or "auth-provider" in user:
        raise AccessError(
            f"{path}: the user's token comes from a program, which is not run; give a token or certificate"
        )
    ca = _material(cluster, "certificate-authority", path)
    certificate, key = _material(user, "client-certificate", path), _material(user, "client-key", path)
    own = ca or certificate or cluster.get("insecure-skip-tls-verify")
    tls = ssl.create_default_context(cadata=ca or None) if own else None
    if tls is not None and cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if tls is not None and certificate:
        _show(tls, certificate + "\n" + key)
    token_file = path.parent / str(user["tokenFile"]) if user.get("tokenFile") else None
    return Access(str(cluster.get("server", "")).rstrip("/"), str(user.get("token", "")), token_file, tls, name)


def _named(content: Entry, section: str, name: str, path: Path) -> Entry:
    entries = content.get(section)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(section.removesuffix("s"))
            if isinstance(found, dict):
                return found
    raise AccessError(f"{path}: {section} has no {name!r}")


def _material(entry: Entry, name: str, path: Path) -> str:
    """PEM text, given in the file itself (`-data`, base64) or as a file relative to it, which must not be empty.

    Empty = not given.
    """
    if data := entry.get(f"{name}-data"):
        return base64.b64decode("".join(str(data).split()), validate=True).decode("ascii")
    if not entry.get(name):
        return ""
    file = path.parent / str(entry[name])
    if text := file.read_text("ascii"):
        return text
    raise AccessError(f"{file}: is empty")


def _show(tls: ssl.SSLContext, pem: str) -> None:
    """The library takes a client's certificate from a file only: one that none else may read, for a moment."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        tls.load_cert_chain(file.name)
