#!/bin/sh
# Sets up everything a target of the Makefile needs, and nothing when it is already there.
#
#   deploy/setup.sh run     what the dashboard needs: .venv, pinned packages, rsync
#   deploy/setup.sh test    the same, with the development packages, a Chromium and what forces faults
#
# It never asks: system packages are installed only as root or with a sudo that needs no password.
# Without them it says in one line what to install and goes on, unless CI is set, where a test that
# is skipped for want of a tool would look like a test that passed.

set -eu

cd "$(dirname "$0")/.."

kind=${1:-run}
case $kind in
    run) requirements="requirements.txt" ;;
    test) requirements="requirements-dev.txt" ;;
    *)
        echo "usage: deploy/setup.sh run|test" >&2
        exit 2
        ;;
esac

venv=.venv
log=$venv/setup.log

# A caller's Python settings must not leak into the virtual environment, nor may pip ask anything.
unset PYTHONHOME PYTHONPATH || true
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

say() { printf 'longshore: %s\n' "$*"; }

complain() { printf 'longshore: %s\n' "$*" >&2; }

# Runs a command with its output in the log; on failure shows the end of it, then returns 1.
logged() {
    mkdir -p "$venv"
    printf '\n$ %s\n' "$*" >>"$log"
    if "$@" >>"$log" 2>&1 </dev/null; then
        return 0
    fi
    complain "this failed: $*"
    awk '/^\$ / { text = ""; next } { text = text "    " $0 "\n" } END { printf "%s", text }' "$log" |
        tail -n 12 >&2
    complain "the whole output is in $log"
    return 1
}

# ---- System packages -----------------------------------------------------------------------

# Prefixes a command with what makes it run as root without asking; fails when nothing does.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        logged "$@"
    else
        logged sudo -n "$@"
    fi
}

may_be_root() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; }
}

package_manager() {
    for candidate in apt-get dnf apk pacman zypper brew; do
        if command -v "$candidate" >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

apt_install() {
    # `env` because sudo drops the caller's environment. The timeout waits for another apt, such as
    # the unattended upgrades of a machine that has just started.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get \
        -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

apt_has_lists() {
    for list in /var/lib/apt/lists/*_Packages*; do
        [ -e "$list" ] && return 0
    done
    return 1
}

apt_update() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 update
}

# Installs system packages by the names the found manager uses.
install_packages() {
    manager=$1
    shift
    case $manager in
        apt-get)
            # Refreshing the lists takes longer than most installs, so only when they are missing
            # or too old to find the package.
            if apt_has_lists; then
                apt_install "$@" 2>/dev/null && return 0
            fi
            apt_update && apt_install "$@"
            ;;
        dnf) as_root dnf install -y --setopt=install_weak_deps=False "$@" ;;
        apk) as_root apk add --no-cache "$@" ;;
        pacman)
            as_root pacman -S --noconfirm --needed "$@" 2>/dev/null ||
                as_root pacman -Sy --noconfirm --needed "$@"
            ;;
        zypper) as_root zypper --non-interactive install --no-recommends "$@" ;;
        brew) logged env NONINTERACTIVE=1 HOMEBREW_NO_AUTO_UPDATE=1 brew install "$@" ;;
    esac
}

# need TOOL PACKAGE CONSEQUENCE: installs PACKAGE when that is possible without asking. TOOL names
# one of the checks below, has_TOOL.
need() {
    tool=$1 package=$2 consequence=$3
    "has_$tool" && return 0

    # An install that failed a short while ago (no network, say) would fail again and only make
    # every start slow.
    recent=$(find "$venv/.no-$tool" -mmin -60 2>/dev/null || true)
    if [ -z "$recent" ] || [ -n "${CI:-}" ]; then
        if manager=$(package_manager) && { [ "$manager" = brew ] || may_be_root; }; then
            say "installing $package with $manager"
            if install_packages "$manager" "$package" && "has_$tool"; then
                rm -f "$venv/.no-$tool"
                return 0
            fi
            : >"$venv/.no-$tool"
        fi
    fi

    complain "$tool is missing: install the package '$package' with your system's package manager; $consequence"
    if [ "$kind" = test ] && [ -n "${CI:-}" ]; then
        exit 1
    fi
}

has_rsync() { command -v rsync >/dev/null 2>&1; }
has_ssh() { command -v ssh >/dev/null 2>&1; }
has_sshd() { PATH=$PATH:/usr/sbin:/sbin command -v sshd >/dev/null 2>&1; }

has_nginx() { PATH=$PATH:/usr/sbin:/sbin command -v nginx >/dev/null 2>&1; }

has_promtool() { command -v promtool >/dev/null 2>&1; }

has_chromium() {
    for browser in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$browser" >/dev/null 2>&1 && return 0
    done
    [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] ||
        [ -x "/Applications/Chromium.app/Contents/MacOS/Chromium" ]
}

has_strace() { command -v strace >/dev/null 2>&1; }

has_ip() { PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null 2>&1; }
has_systemd_analyze() { command -v systemd-analyze >/dev/null 2>&1; }
has_libfaketime() {
    for library in /usr/lib*/faketime/libfaketimeMT.so.1 /usr/lib/*/faketime/libfaketimeMT.so.1; do
        [ -e "$library" ] && return 0
    done
    return 1
}

# In sbin, which is not on everybody's PATH.
has_mkfs_ext4() { PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4 >/dev/null 2>&1; }
has_mkfs_xfs() { PATH=$PATH:/usr/sbin:/sbin command -v mkfs.xfs >/dev/null 2>&1; }

# Playwright brings a Node.js of its own, which a minimal system has not all libraries for.
has_browser_driver() {
    for node in "$venv"/lib/python3*/site-packages/playwright/driver/node; do
        "$node" --version >/dev/null 2>&1 && return 0
    done
    return 1
}

# ---- Python --------------------------------------------------------------------------------

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        # Run it: a name on PATH may be a version manager's shim for a Python that is not there.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

can_make_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

create_venv() {
    if ! python=$(find_python); then
        complain "Python 3.11 or newer is needed, and none of python3, python3.14 … python3.11 on PATH is: install one"
        exit 1
    fi
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    rm -rf "$venv"

    if ! can_make_venvs "$python"; then
        # Debian and its kin ship ensurepip apart from Python.
        if command -v apt-get >/dev/null 2>&1 && may_be_root; then
            say "installing python$version-venv with apt-get"
            install_packages apt-get "python$version-venv" ||
                install_packages apt-get python3-venv || true
        fi
        if ! can_make_venvs "$python"; then
            complain "$python cannot make virtual environments (no ensurepip): install the package python$version-venv, then try again"
            exit 1
        fi
    fi

    say "creating $venv with Python $version"
    logged "$python" -m venv "$venv" || exit 1
    pwd -P >"$venv/.place"
}

# Everything the installed packages depend on: the pins, the project's own metadata and the
# interpreter. Fails when the environment cannot be used: its Python no longer runs, or the checkout
# was moved or copied, and the scripts in .venv/bin still start the Python of the old place.
fingerprint() {
    [ "$(cat "$venv/.place" 2>/dev/null)" = "$(pwd -P)" ] || return 1
    "$venv/bin/python" - "$1" pyproject.toml 2>/dev/null <<'PYTHON'
import hashlib, pathlib, sys

if pathlib.Path(sys.prefix) != pathlib.Path.cwd() / ".venv":
    sys.exit(1)
digest = hashlib.sha256(sys.version.encode())
for name in sys.argv[1:]:
    digest.update(pathlib.Path(name).read_bytes() + b"\0")
print(digest.hexdigest())
PYTHON
}

install_python_packages() {
    say "installing the pinned packages of $requirements (a minute or two the first time)"
    logged "$venv/bin/python" -m pip install --require-hashes -r "$requirements" || return 1
    # No build isolation: it would fetch a build backend that no hash vouches for.
    logged "$venv/bin/python" -m pip install --no-deps --no-build-isolation -e .
}

stamp=$venv/.stamp-$kind
wanted=$(fingerprint "$requirements") || wanted=
if [ -z "$wanted" ] || [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    if [ -z "$wanted" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        create_venv
        wanted=$(fingerprint "$requirements")
    fi
    rm -f "$stamp"
    if ! install_python_packages; then
        complain "the Python packages could not be installed; nothing is lost, call it again"
        exit 1
    fi
    # Written last, so that a set-up cut short starts over. The development set contains the
    # runtime one, with the same pins.
    echo "$wanted" >"$stamp"
    if [ "$kind" = test ]; then
        fingerprint requirements.txt >"$venv/.stamp-run"
    fi
fi

need rsync rsync "until then Longshore offers rclone only"
case $(package_manager || true) in
    dnf) ssh_package=openssh-clients server_package=openssh-server ;;
    apt-get) ssh_package=openssh-client server_package=openssh-server ;;
    apk) ssh_package=openssh-client server_package=openssh-server ;;
    *) ssh_package=openssh server_package=openssh ;;
esac
need ssh "$ssh_package" "until then jobs cannot reach other hosts over ssh"
if [ "$kind" = test ]; then
    case $(package_manager || true) in
        brew) browser_package=google-chrome ;;
        *) browser_package=chromium ;;
    esac
    need chromium "$browser_package" "until then the browser tests are skipped"
    case $(package_manager || true) in
        dnf) library_package=libatomic ;;
        pacman) library_package=gcc-libs ;;
        *) library_package=libatomic1 ;;
    esac
    need browser_driver "$library_package" "until then the browser tests are skipped"
    case $(package_manager || true) in
        apt-get) proxy_package=nginx-light ;;
        *) proxy_package=nginx ;;
    esac
    # Debian starts a server that it installs: nobody's machine gets one without being asked.
    if [ -n "${CI:-}" ]; then
        need sshd "$server_package" "until then the tests of transfers over ssh are skipped"
        need nginx "$proxy_package" "until then the tests behind a real proxy are skipped"
        need promtool prometheus "until then /metrics is not checked by Prometheus’ own tool"
    else
        has_sshd ||
            complain "sshd is missing: install the package '$server_package'; until then the tests of transfers over ssh are skipped"
        has_nginx ||
            complain "nginx is missing: install the package '$proxy_package'; until then the tests behind a real proxy are skipped"
        has_promtool ||
            complain "promtool is missing: install the package 'prometheus'; until then /metrics is not checked by Prometheus’ own tool"
    fi
    if [ "$(uname -s)" = Linux ]; then
        need strace strace "until then the tests of system calls that fail are skipped"
        need libfaketime libfaketime "until then the tests of a clock that is set are skipped"
        need mkfs_ext4 e2fsprogs "until then the tests of power cuts and full disks are skipped"
        need ip iproute2 "until then the tests of a cut network are skipped"
        need systemd_analyze systemd "until then the systemd unit is not verified"
        need mkfs_xfs xfsprogs "until then the tests of power cuts on XFS are skipped"
    fi
fi
