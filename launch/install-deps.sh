#!/usr/bin/env bash
# Installs what optpipe needs to build, run and test from the packages of Debian 12 or newer (Ubuntu 24.04 works too), as root
# or with sudo. Does nothing where everything is there already.
#   --tests   also what some tests use and are skipped without: network namespaces, a batch system, pictures, libFuzzer
set -euo pipefail

packages=(
  build-essential cmake ninja-build ccache pkg-config
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev
  libpcre2-dev libminizip-dev zlib1g-dev libhwy-dev liburing-dev libhwloc-dev
  libopenmpi-dev openmpi-bin
  libgtest-dev libgmock-dev libbenchmark-dev libopenblas-dev libseccomp-dev
)

optional=()
[[ ${1:-} != --tests ]] || optional=(iproute2 munge slurm-wlm python3-matplotlib clang libclang-rt-dev)

is_missing() { ! dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

missing=() missing_optional=()
for package in "${packages[@]}"; do ! is_missing "$package" || missing+=("$package"); done
for package in "${optional[@]}"; do ! is_missing "$package" || missing_optional+=("$package"); done
((${#missing[@]} + ${#missing_optional[@]})) || exit 0

if ((EUID == 0)); then
  as_root=()
elif command -v sudo >/dev/null; then
  as_root=(sudo)
elif ((${#missing[@]} == 0)); then
  echo "install-deps.sh: without ${missing_optional[*]} some tests are skipped; installing them takes root or sudo" >&2
  exit 0
else
  echo "install-deps.sh: these packages are missing, and installing them takes root or sudo: ${missing[*]}" >&2
  exit 1
fi
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }
echo "Installing ${missing[*]} ${missing_optional[*]}"
"${as_root[@]}" apt-get update -q
((${#missing[@]} == 0)) || install "${missing[@]}"
for package in "${missing_optional[@]}"; do # one by one: what a distribution lacks takes no other with it
  install "$package" || echo "install-deps.sh: without $package some tests are skipped" >&2
done
