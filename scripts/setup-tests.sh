#!/bin/sh
# Installs the system packages that the tests use: git, openssl, pytest, Go, a Chromium, a Firefox and an S3 server
# (Swift's libraries, no service); for root also iptables and iproute2, with which `npm run chaos` cuts
# networks; fetches an etcd for the tests of clusters (get-etcd.sh) and a promtool
# for those of metrics (get-promtool.sh). It does nothing when all are here. Debian and Ubuntu only, through apt-get, as root or with a sudo that
# asks no password; elsewhere it says what to install. `npm test` calls it.
set -eu

missing=''
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
command -v python3 >/dev/null 2>&1 && python3 -c 'import pytest' >/dev/null 2>&1 \
  || { [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import pytest' >/dev/null 2>&1; } \
  || missing="$missing python3-pytest"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
  || command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
# Ubuntu has it under its plain name only.
command -v firefox >/dev/null 2>&1 || command -v firefox-esr >/dev/null 2>&1 \
  || if grep -q "^ID=ubuntu" /etc/os-release 2>/dev/null; then missing="$missing firefox"; else missing="$missing firefox-esr"; fi
[ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import swift.proxy.server' >/dev/null 2>&1 \
  || missing="$missing python3-swift"
# Without root hosts can't have networks of their own, and `npm run chaos` does without.
if [ "$(id -u)" = 0 ]; then
  command -v iptables >/dev/null 2>&1 || missing="$missing iptables"
  command -v ip >/dev/null 2>&1 && command -v tc >/dev/null 2>&1 || missing="$missing iproute2"
fi

fetch_programs() {
  "$(dirname -- "$0")/get-etcd.sh" >/dev/null
  "$(dirname -- "$0")/get-promtool.sh" >/dev/null
}

if [ -z "$missing" ]; then
  fetch_programs
  exit
fi
echo "setup-tests: the tests need$missing" >&2

if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup-tests: no apt-get on this system; please install the equivalents of$missing, then run it again." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  as_root=''
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "setup-tests: not root and no password-less sudo; please run: sudo apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # word splitting is meant
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >&2
fetch_programs
