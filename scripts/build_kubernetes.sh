#!/usr/bin/env bash
# Builds a Kubernetes for the tests (API server, controllers, etcd) into a folder, from the source that Go's modules hold:
#     scripts/build_kubernetes.sh ~/.cache/maestro-kubernetes
#     MAESTRO_TEST_KUBERNETES=~/.cache/maestro-kubernetes .venv/bin/pytest tests/integration/kubernetes tests/unit/discovery
# It takes a Go of that release's age or newer, 8 minutes on two cores and 3 GB, most of it Go's own cache.
set -euo pipefail
kubernetes=v1.34.4 etcd=v3.6.13
target=$(mkdir -p "${1:?the folder to build into}" && cd "$1" && pwd)
command -v go >/dev/null || { echo "there is no Go" >&2; exit 1; }
work=$(mktemp -d -t maestro-kubernetes-XXXXXX)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOFLAGS=-mod=mod GOWORK=off

# A module's own folder is read-only, and its `replace` of parts beside it holds only in the repository it was made from.
source_of() { # MODULE VERSION FOLDER
    mkdir "$work/$3"
    cp -R "$(cd "$work" && GOFLAGS= go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/." "$work/$3"
    chmod -R u+w "$work/$3"
    rm -rf "$work/$3"/vendor "$work/$3"/go.work "$work/$3"/go.work.sum
    sed -i '/^replace (/,/^)/d; /^replace /d' "$work/$3/go.mod"
}

source_of go.etcd.io/etcd/server/v3 "$etcd" etcd
(cd "$work/etcd" && go build -ldflags "-s -w" -o "$target/etcd" .)

source_of k8s.io/kubernetes "$kubernetes" kubernetes
# Not those with a date behind v0.0.0: they are modules of their own.
sed -i "s/^\(\tk8s\.io\/[a-z-]* \)v0\.0\.0\( \|\$\)/\1v0${kubernetes#v1}\2/" "$work/kubernetes/go.mod"
version=k8s.io/component-base/version
minor=${kubernetes#v1.} minor=${minor%%.*}
cd "$work/kubernetes"
for program in kube-apiserver kube-controller-manager; do
    go build -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor" \
        -o "$target/$program" "./cmd/$program"
done
echo "$target: $(cd "$target" && echo etcd kube-apiserver kube-controller-manager)"
