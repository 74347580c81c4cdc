#!/usr/bin/env bash
# Install what the tests need, then run all of them on real parts. Exits non-zero on any failure, and on any skip.
#
# Usage: tests/run.sh [pytest arguments]        e.g. tests/run.sh tests/e2e -k scale
# Everything it makes lies under $PAAS_TEST_ROOT (default /var/tmp/paas-tests); the base image in there is built once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PAAS_TEST_ROOT=${PAAS_TEST_ROOT:-/var/tmp/paas-tests}
readonly VENV=$PAAS_TEST_ROOT/venv STACK=$PAAS_TEST_ROOT/stack
readonly PACKAGES=(openssh-server chromium chromium-driver wrk shellcheck)
exec </dev/null

((EUID == 0)) || { echo "the tests make containers and networks: run them as root, sudo $0" >&2; exit 1; }

install_packages() {
    # The installer knows what the product needs: take its list, so that there is only one.
    local product wanted missing=() package
    product=$(sed -n '/^readonly PACKAGES=(/,/^)/p' vagrant/provision.sh | sed '1d;$d;s/#.*//')
    read -ra wanted <<<"${product//$'\n'/ } ${PACKAGES[*]}"
    for package in "${wanted[@]}"; do
        [[ $package != nginx-light || ! -x /usr/sbin/nginx ]] || continue
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "-----> Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=600 update
    apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}" >/dev/null
}

create_user() {
    getent group paas >/dev/null || groupadd --system paas
    getent passwd paas >/dev/null || useradd --system --gid paas --no-create-home --shell /bin/sh --password '*' paas
}

# The tests run the checkout itself: an editable install in an environment outside of it.
install_program() {
    local locks; locks=$(cat vagrant/requirements.lock tests/requirements.lock pyproject.toml | sha256sum)
    [[ $(cat "$VENV/locks" 2>/dev/null) != "$locks$PWD" ]] || return 0
    echo "-----> Making the test environment $VENV"
    rm -rf "$VENV"
    /usr/bin/python3 -m venv "$VENV"
    "$VENV/bin/pip" install -q --disable-pip-version-check --require-hashes -r vagrant/requirements.lock
    "$VENV/bin/pip" install -q --disable-pip-version-check --require-hashes -r tests/requirements.lock
    "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
    printf %s "$locks$PWD" >"$VENV/locks"
}

# crun refuses to run while a controller is left on a hybrid host's v2 tree.
prepare_cgroups() {
    local unified=/sys/fs/cgroup/unified/cgroup.controllers controller
    [[ -e $unified ]] || return 0
    for controller in $(<"$unified"); do
        mkdir -p "/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
    done
}

build_stack() {
    local PAAS_ROOT=$STACK/root PAAS_RUN=$STACK/run PAAS_ETC=$STACK/etc
    export PAAS_ROOT PAAS_RUN PAAS_ETC
    [[ ! -e $STACK/complete ]] || return 0
    echo "-----> Building the base image for the tests"
    rm -rf "$STACK"
    mkdir -p "$STACK"/{root,run,etc}
    "$VENV/bin/paas" stacks:build debian-12
    touch "$STACK/complete"
}

mkdir -p "$PAAS_TEST_ROOT"
install_packages
create_user
install_program
prepare_cgroups
build_stack

# The installer's own test installs on this machine and removes it again with all data: only where that is wanted.
selection=()
if [[ ${CI:-} != true ]]; then
    echo "-----> Leaving out tests/e2e/test_installation.py, which would replace the installation on this machine: CI=true runs it"
    selection=(-m 'not machine')
fi
export PAAS_TESTS_COMPLETE=1 PATH="$VENV/bin:$PATH"
exec "$VENV/bin/python" -m pytest -p no:cacheprovider --durations=15 "${selection[@]}" "$@"
