#!/usr/bin/env bash
# The one installer: a fresh machine, a Vagrant box, cloud-init, and every later upgrade.
#
# Run it again at any time: it changes only what is missing or old, never your settings, apps or certificates.
# Everything it puts on the machine is named here; `--uninstall` takes it away again.
set -euo pipefail

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly CHECKOUT
readonly PROGRAMS=/opt/paas              # one directory per installed version, `current` points to the one in use
readonly SETTINGS=/etc/paas/paas.toml
readonly DATA=/var/lib/paas
readonly RUN=/run/paas
readonly UNITS=/etc/systemd/system
readonly SSHD_DROP_IN=/etc/ssh/sshd_config.d/paas.conf
readonly NGINX_INCLUDE=/etc/nginx/conf.d/paas.conf
readonly LOG=/var/log/paas-provision.log

# What the code runs or opens, and why.
readonly PACKAGES=(
    crun conmon tini                     # make, hold and init containers
    golang-github-containers-common      # the seccomp profile that Podman uses
    nftables iproute2                    # NAT and isolation of app networks
    nginx-light libnginx-mod-http-lua lua-resty-core   # the router; upstreams change without a reload
    mmdebstrap debian-archive-keyring zstd   # base images from Debian's packages
    tzdata                               # time zones of scheduled tasks
    skopeo gzip bzip2 xz-utils util-linux  # pull, push and read images; end with who started them
    git openssh-client                   # receive pushes
    curl ca-certificates python3-venv
)

usage() {
    cat <<'USAGE'
Usage: provision.sh [options]
  --demo            push the sample app over git+ssh, print its URL and how long the push took
  --domain D        apps answer at <app>.D (default: localhost)
  --ssh-port N      port of the embedded SSH server (default: 2222)
  --openssh         let the machine's own OpenSSH accept pushes for user paas, too (port 22)
  --prepare         install only the Debian packages and the user (for tests/run.sh)
  --uninstall       remove everything but apps, images, certificates and settings
  --purge           with --uninstall: remove those as well
  --help            show this
USAGE
}

say() { printf -- '-----> %s\n' "$*"; }
done_with() { printf -- '=====> %s\n' "$*"; }
detail() { printf '       %s\n' "$*"; }
warn() { printf ' !     %s\n' "$@" >&2; }
die() { warn "$@"; exit 1; }

# Run a noisy tool; show what it said only when it fails.
quietly() {
    local output
    if ! output=$("$@" 2>&1); then
        printf '%s\n' "$output" >>"$LOG"
        printf '%s\n' "$output" | tail -n 20 | sed 's/^/       /' >&2
        die "failed: $*" "the whole output is in $LOG"
    fi
    printf '%s\n' "$output" >>"$LOG"
}

parse_options() {
    DEMO=no OPENSSH=no PREPARE=no UNINSTALL=no PURGE=no DOMAIN='' SSH_PORT=''
    while (($#)); do
        case $1 in
            --demo) DEMO=yes ;;
            --openssh) OPENSSH=yes ;;
            --prepare) PREPARE=yes ;;
            --uninstall) UNINSTALL=yes ;;
            --purge) PURGE=yes ;;
            --domain=* | --ssh-port=*)
                set -- "${1%%=*}" "${1#*=}" "${@:2}"
                continue
                ;;
            --domain | --ssh-port)
                [[ -n ${2:-} ]] || die "$1 needs a value" "see: provision.sh --help"
                if [[ $1 == --domain ]]; then DOMAIN=$2; else SSH_PORT=$2; fi
                shift
                ;;
            --help | -h) usage && exit 0 ;;
            *) usage >&2; die "unknown option: $1" ;;
        esac
        shift
    done
    local label='[a-z0-9]([a-z0-9-]*[a-z0-9])?'
    [[ -z $DOMAIN || $DOMAIN =~ ^$label(\.$label)*$ ]] || die "'$DOMAIN' is not a domain name" "e.g. --domain apps.example.com"
    if [[ -n $SSH_PORT ]]; then
        [[ $SSH_PORT =~ ^[1-9][0-9]{0,4}$ && $SSH_PORT -le 65535 ]] ||
            die "'$SSH_PORT' is not a port" "use 1 to 65535, e.g. --ssh-port 2222"
    fi
    [[ $PURGE == no || $UNINSTALL == yes ]] || die "--purge goes with --uninstall" "nothing was changed"
}

require_root() {
    ((EUID == 0)) || die "this must run as root" "run: sudo $0 $*"
}

require_system() {
    # shellcheck source=/dev/null
    local system; system=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}") || system=unknown
    case $system in
        'debian 12' | 'debian 13' | 'ubuntu 22.04' | 'ubuntu 24.04') ;;
        *) die "this system is not supported: $system" "use Debian 12 or 13, or Ubuntu 22.04 or 24.04" ;;
    esac
    local kernel major minor
    kernel=$(uname -r)
    IFS=.- read -r major minor _ <<<"$kernel"
    ((major > 5 || (major == 5 && minor >= 19))) || die \
        "kernel $kernel is too old: overlayfs on idmapped mounts needs 5.19" \
        "on Ubuntu 22.04: apt install linux-image-generic-hwe-22.04, then reboot"
    PYTHON=/usr/bin/python3
    [[ $system != 'ubuntu 22.04' ]] || PYTHON=/usr/bin/python3.11   # its python3 is 3.10
    readonly PYTHON
    : >"$LOG"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

install_packages() {
    local wanted=("${PACKAGES[@]}") missing=() package
    [[ $PYTHON == /usr/bin/python3 ]] || wanted+=(python3.11 python3.11-venv)
    [[ $OPENSSH == no ]] || wanted+=(openssh-server)
    # Any nginx will do; the machine may have nginx-full or nginx-extras already.
    for package in "${wanted[@]}"; do
        [[ $package != nginx-light || ! -x /usr/sbin/nginx ]] || continue
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get -o DPkg::Lock::Timeout=600 update
    quietly apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}"
    # The package's welcome page would answer for every unknown host; a site of yours was there before nginx was installed by us.
    [[ " ${missing[*]} " != *" nginx-light "* ]] || rm -f /etc/nginx/sites-enabled/default
}

create_user() {
    getent group paas >/dev/null || groupadd --system paas
    getent passwd paas >/dev/null && return 0
    say "Creating user paas"
    # '*' and not '!': sshd without PAM takes '!' for a locked account and refuses its keys, too.
    useradd --system --gid paas --home-dir "$DATA/repos" --no-create-home --shell /bin/sh --password '*' paas
}

create_directories() {
    install -d -m 0755 "$DATA" /etc/paas "$RUN" "$PROGRAMS"
    install -d -m 0700 "$DATA/images" "$DATA/containers"     # unshifted ids: setuid files in there are real
    install -d -m 0750 -o paas -g paas "$DATA/repos"
    install -d -m 0755 "$DATA/ssh"                           # sshd demands: root's, and writable by nobody else
}

# Name a version by all that goes into it, so that an unchanged checkout installs nothing.
version_of_checkout() {
    (cd "$CHECKOUT" && "$PYTHON" --version &&
        find pyproject.toml paas buildpacks nginx-templates hooks vagrant/requirements.lock \
            -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum -- &&
        find buildpacks hooks -type f -perm /111 | sort) | sha256sum | cut -c1-12
}

# The command without Python's site module, which takes as long as all that a short command does; paas.cli.main loads it when
# the work is done in its own process.
write_launcher() {
    local tree=$1 packages
    packages=$("$tree/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cat >"$tree/bin/paas" <<END
#!$tree/bin/python -IS
import sys
sys.path.insert(0, "$packages")
from paas.cli.main import main
sys.exit(main())
END
}

install_program() {
    local version tree source
    version=$(version_of_checkout)
    tree=$PROGRAMS/$version
    if [[ ! -e $tree/complete ]]; then
        say "Installing version $version into $tree"
        rm -rf "$tree"
        "$PYTHON" -m venv "$tree"
        quietly "$tree/bin/python" -m pip install --disable-pip-version-check --require-hashes \
            -r "$CHECKOUT/vagrant/requirements.lock"
        source=$(mktemp -d)
        cp -r "$CHECKOUT"/{pyproject.toml,README.md,LICENSE,paas} "$source"     # the build writes beside its sources
        find "$source" -name __pycache__ -prune -exec rm -rf {} +
        quietly "$tree/bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation "$source"
        rm -rf "$source"
        write_launcher "$tree"
        mkdir -p "$tree/share/paas"
        cp -r "$CHECKOUT"/{buildpacks,nginx-templates,hooks} "$tree/share/paas/"
        touch "$tree/complete"
    fi
    PREVIOUS=$(readlink "$PROGRAMS/current" || true)
    ln -sfn "$version" "$PROGRAMS/current"
    ln -sfn "$PROGRAMS/current/bin/paas" /usr/local/bin/paas
    # Commands under way may still import from the version they began with: keep that one.
    local old
    for old in "$PROGRAMS"/*/; do
        old=$(basename "$old")
        [[ $old == current || $old == "$version" || $old == "$PREVIOUS" ]] || rm -rf "${PROGRAMS:?}/$old"
    done
}

write_settings() {
    if [[ ! -e $SETTINGS ]]; then
        say "Writing $SETTINGS"
        printf '# Settings of paas; every key is explained in docs/settings.md. Apply a change with: systemctl restart paas\n' >"$SETTINGS"
    fi
    [[ -z $DOMAIN ]] || set_setting domain "\"$DOMAIN\""
    [[ -z $SSH_PORT ]] || set_setting ssh-port "$SSH_PORT"
}

# Set one key and leave every other line of the file as it is.
set_setting() {
    local key=$1 value=$2 pattern="^[[:space:]]*${1//-/[-_]}[[:space:]]*="
    if grep -Eq "$pattern" "$SETTINGS"; then
        sed -Ei "s|$pattern.*|$key = $value|" "$SETTINGS"
    else
        printf '%s = %s\n' "$key" "$value" >>"$SETTINGS"
    fi
}

setting() {
    local found
    found=$(sed -En "s/^[[:space:]]*${1//-/[-_]}[[:space:]]*=[[:space:]]*\"?([^\"#]*[^\"# ]).*/\1/p" "$SETTINGS" | tail -n 1)
    printf '%s' "${found:-$2}"
}

start_everything() {
    if has_systemd; then
        install_units
        say "Starting paas"
        systemctl start paas-containers.service
        systemctl restart paas.service
    else
        say "Starting paas (no systemd here: detached, $RUN/serve.pid)"
        paas serve --stop >/dev/null 2>&1 || true
        paas serve --detach
    fi
    wait_until_ready
}

install_units() {
    local unit
    for unit in paas.service paas-containers.service; do
        install -m 0644 "$CHECKOUT/vagrant/$unit" "$UNITS/$unit"
    done
    quietly systemctl daemon-reload
    quietly systemctl enable paas.service paas-containers.service nginx.service
}

wait_until_ready() {
    for _ in {1..120}; do
        ! paas version >/dev/null 2>&1 || [[ ! -S $RUN/paas.sock ]] || return 0
        sleep 0.25
    done
    if has_systemd; then
        journalctl --no-pager -n 20 -u paas.service >&2 || true
    fi
    die "the server did not start within 30 s" "run: paas doctor"
}

build_stack() {
    local stack; stack=$(setting stack debian-12)
    ! paas image:inspect "paas/stack:$stack" >/dev/null 2>&1 || return 0
    say "Building the base image $stack from Debian's packages"
    paas stacks:build "$stack"
}

configure_openssh() {
    [[ $OPENSSH == yes ]] || return 0
    say "Accepting pushes for user paas through OpenSSH"
    install -m 0644 "$CHECKOUT/vagrant/sshd.conf" "$SSHD_DROP_IN"
    mkdir -p /run/sshd
    if ! /usr/sbin/sshd -t; then
        rm -f "$SSHD_DROP_IN"
        die "sshd refuses our part of its configuration; it was taken out again" "run: sshd -t"
    fi
    if has_systemd; then
        quietly systemctl reload-or-restart ssh.service
    elif ! reload_sshd; then
        /usr/sbin/sshd
    fi
}

# Without systemd. Fails when no sshd runs: its pid file may be left from one that was killed, the pid another process's by now.
reload_sshd() {
    local pid
    pid=$(cat /run/sshd.pid 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == sshd ]] && kill -HUP "$pid"
}

demo() {
    local work port domain url started took
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "paas ssh-keys:remove provision-demo >/dev/null 2>&1; rm -rf '$work'" EXIT
    port=$(setting ssh-port 2222) domain=$(setting domain localhost)
    ssh-keygen -q -t ed25519 -N '' -C provision-demo -f "$work/key"
    paas ssh-keys:remove provision-demo >/dev/null 2>&1 || true
    paas ssh-keys:add provision-demo <"$work/key.pub" >/dev/null
    cp -r "$CHECKOUT/tests/apps/flask" "$work/app"
    export GIT_SSH_COMMAND="ssh -i $work/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=$work/known_hosts -o LogLevel=ERROR"
    git -C "$work/app" init -q -b master
    git -C "$work/app" add -A
    git -C "$work/app" -c user.name=demo -c user.email=demo@localhost commit -q -m "Say hello"
    say "Pushing the sample app to ssh://paas@localhost:$port/hello"
    started=$(date +%s%N)
    git -C "$work/app" push --force "ssh://paas@localhost:$port/hello" master
    took=$((($(date +%s%N) - started) / 1000000))
    url=http://hello.$domain/
    curl -fsS --max-time 10 --resolve "hello.$domain:80:127.0.0.1" "$url" | sed 's/^/       /'
    printf '\n'
    done_with "The app answers at $url"
    detail "the push took $((took / 1000)).$(printf %03d $((took % 1000))) s"
}

stop_everything() {
    if command -v paas >/dev/null; then
        say "Stopping all apps"
        if has_systemd; then systemctl disable --now paas.service 2>/dev/null || true; else paas serve --stop || true; fi
        local containers
        mapfile -t containers < <(paas container:ps --all --quiet)
        ((!${#containers[@]})) || paas container:rm --force "${containers[@]}" >/dev/null || warn "some containers are left"
    fi
    if has_systemd; then systemctl disable --now paas-containers.service 2>/dev/null || true; fi
}

# What the kernel still holds once every container is gone: bridges, nft tables, mounts and a mount option, cgroups.
remove_from_kernel() {
    local prefix name target options
    prefix=$(setting network-prefix paas)
    for name in $(ip -o link show type bridge | sed -En "s/^[0-9]+: (${prefix}b[0-9]+):.*/\1/p"); do
        ip link delete "$name"
    done
    ! nft list table inet "$prefix" >/dev/null 2>&1 || nft delete table inet "$prefix"
    local chain direction
    for chain in DOCKER-USER FORWARD; do        # ours only where Docker or another firewall drops by default
        for direction in -i -o; do
            iptables -w -D "$chain" "$direction" "${prefix}b+" -j ACCEPT 2>/dev/null || true
        done
    done
    { findmnt -rno TARGET,OPTIONS -t cgroup2 || true; } | while read -r target options; do
        [[ ,$options, != *,favordynmods,* ]] || mount -o "remount,${options/,favordynmods/}" cgroup2 "$target" || true
    done
    awk -v data="$DATA/" -v run="$RUN/" 'index($2, data) == 1 || index($2, run) == 1 { print $2 }' /proc/self/mounts |
        tac | while read -r target; do umount -l "$target"; done
    for target in /sys/fs/cgroup/paas /sys/fs/cgroup/*/paas; do     # under systemd they went with their unit
        [[ ! -d $target ]] || find "$target" -depth -type d -exec rmdir {} + || warn "processes are left in $target"
    done
}

uninstall() {
    stop_everything
    remove_from_kernel
    say "Removing the program, its units and its part of nginx and sshd"
    rm -f "$UNITS/paas.service" "$UNITS/paas-containers.service" "$NGINX_INCLUDE" "$SSHD_DROP_IN" /usr/local/bin/paas
    rm -rf "$PROGRAMS" "$RUN" /etc/nginx/paas
    if has_systemd; then
        systemctl daemon-reload
        systemctl reload nginx.service 2>/dev/null || true
        systemctl reload ssh.service 2>/dev/null || true
    else
        ! nginx -t 2>/dev/null || nginx -s reload 2>/dev/null || true
        reload_sshd || true
    fi
    if [[ $PURGE == yes ]]; then
        say "Removing all apps, images and settings"
        local repository logs; logs=$(setting nginx-log-dir /var/log/nginx)
        for repository in "$DATA"/repos/*.git; do
            repository=${repository##*/}
            rm -f "$logs/${repository%.git}"-{access,error}.log*
        done
        rm -rf --one-file-system "$DATA" /etc/paas "$LOG"
        ! getent passwd paas >/dev/null || userdel paas || warn "remove it when nothing runs as it any more: userdel paas"
        ! getent group paas >/dev/null || getent passwd paas >/dev/null || groupdel paas
    else
        detail "kept: $DATA, $SETTINGS and user paas; remove them with: $0 --uninstall --purge"
    fi
    detail "the Debian packages stay; they may serve others"
}

main() {
    parse_options "$@"
    require_root "$@"
    require_system
    if [[ $UNINSTALL == yes ]]; then
        uninstall
        exit 0
    fi
    install_packages
    create_user
    [[ $PREPARE == no ]] || exit 0
    create_directories
    install_program
    write_settings
    start_everything
    build_stack
    configure_openssh
    paas doctor || warn "the problems above should be solved before you rely on this machine"
    done_with "paas is installed; add your key with: cat ~/.ssh/id_ed25519.pub | sudo paas ssh-keys:add me"
    [[ $DEMO == no ]] || demo
}

main "$@"
