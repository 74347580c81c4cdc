#!/usr/bin/env bash
# Install what the tests need, then run all of them on real parts. Exits non-zero on any failure, and on any skip.
#
# Usage: tests/run.sh [pytest arguments]        e.g. tests/run.sh tests/e2e -k scale
# Everything it makes lies under $PAAS_TEST_ROOT (default /var/tmp/paas-tests); the base image in there is built once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PAAS_TEST_ROOT=${PAAS_TEST_ROOT:-/var/tmp/paas-tests}
# One environment for each checkout and set of locks, so that two runs do not take it from each other.
LOCKS=$(cat vagrant/requirements.lock tests/requirements.lock pyproject.toml - <<<"$PWD" | sha256sum | cut -c1-12)
readonly VENV=$PAAS_TEST_ROOT/venv-$LOCKS STACK=$PAAS_TEST_ROOT/stack
readonly PACKAGES=(
    openssh-server chromium chromium-driver wrk shellcheck
    busybox-static gcc libc6-dev         # the image and the web server of tests/engine_ground.py
    iptables e2fsprogs procps            # another firewall beside ours, a disk to fill, who runs
    docker-registry podman               # a private registry, and another tool to run our images
)
exec </dev/null

((EUID == 0)) || { echo "the tests make containers and networks: run them as root, sudo $0" >&2; exit 1; }

install_packages() {
    vagrant/provision.sh --prepare
    local missing=() package
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "-----> Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=600 update
    apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Git's hooks and containers run as other users, who must be able to read the program: of a private checkout test a copy.
leave_private_checkout() {
    ! runuser -u paas -- test -r "$PWD/paas/cli/main.py" -a -x "$PWD/buildpacks/python/bin/build" || return 0
    echo "-----> Testing a copy of $PWD, which other users cannot read"
    rm -rf "$PAAS_TEST_ROOT/checkout"
    cp -r . "$PAAS_TEST_ROOT/checkout"
    chmod -R go+rX "$PAAS_TEST_ROOT/checkout"
    cd "$PAAS_TEST_ROOT/checkout"
}

# The tests run the checkout itself: an editable install in an environment outside of it.
install_program() {
    [[ ! -e $VENV/complete ]] || return 0
    echo "-----> Making the test environment $VENV"
    rm -rf "$VENV"
    local python=/usr/bin/python3
    [[ ! -x /usr/bin/python3.11 ]] || python=/usr/bin/python3.11     # Ubuntu 22.04's python3 is older
    "$python" -m venv "$VENV"
    "$VENV/bin/pip" install -q --disable-pip-version-check --require-hashes -r vagrant/requirements.lock
    "$VENV/bin/pip" install -q --disable-pip-version-check --require-hashes -r tests/requirements.lock
    "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
    touch "$VENV/complete"
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
leave_private_checkout
install_program
build_stack

# The installer's own test installs on this machine and removes it again with all data: only where that is wanted.
selection=()
if [[ ${CI:-} != true ]]; then
    echo "-----> Leaving out tests/e2e/test_installation.py, which would replace the installation on this machine: CI=true runs it"
    selection=(-m 'not machine')
fi
# On the disk of the base image: /tmp may be in memory, as on Debian 13.
TMPDIR=$(dirname "$PAAS_TEST_ROOT")
export TMPDIR PAAS_TESTS_COMPLETE=1 PATH="$VENV/bin:$PATH"
exec "$VENV/bin/python" -m pytest -p no:cacheprovider --durations=15 "${selection[@]}" "$@"
