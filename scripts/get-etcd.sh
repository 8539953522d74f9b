#!/bin/sh
# Prints the path of an etcd server, 3.5 or newer, for the tests and the benchmark of clusters. In
# this order: the program that MUSTER_ETCD names; `etcd` on PATH; what an earlier call has fetched;
# and on Debian the package etcd-server, fetched with this machine's own package sources. Debian 12
# has only 3.4, so there it comes from Debian 13: the same sources, only the name of the release
# differs, with apt's lists and settings in a folder of our own. Nothing is installed, no root is
# needed. May run several times at once. `--cached` never fetches, `--help` says this.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="$root/node_modules/.cache/muster/etcd"
kept="$cache/etcd"

die() {
  echo "get-etcd: $1 Install etcd 3.5 or newer, or set MUSTER_ETCD to the path of its server program." >&2
  exit 1
}

# The version of a program if it is an etcd server of 3.5 or newer, else nothing.
fitting() {
  version=$("$1" --version 2>/dev/null | sed -n 's/^etcd Version: \([0-9][0-9.]*\).*/\1/p') || return 1
  case "$version" in
    3.[0-4] | 3.[0-4].* | [0-2].* | '') return 1 ;;
  esac
}

case "${1:-}" in
  --help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  --cached | '') ;;
  *) echo "get-etcd: unknown argument '$1'; there is only --cached" >&2; exit 2 ;;
esac

if [ -n "${MUSTER_ETCD:-}" ]; then
  fitting "$MUSTER_ETCD" || die "MUSTER_ETCD is '$MUSTER_ETCD', which is no etcd server of version 3.5 or newer."
  echo "$MUSTER_ETCD"
  exit 0
fi
if found=$(command -v etcd) && fitting "$found"; then
  echo "$found"
  exit 0
fi
if [ -x "$kept" ] && fitting "$kept"; then
  echo "$kept"
  exit 0
fi
[ "${1:-}" != --cached ] || die 'No etcd 3.5 or newer is on PATH or has been fetched.'

command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 ||
  die 'No etcd 3.5 or newer on PATH, and no apt-get to fetch one with.'
codename=$(. /etc/os-release && echo "${ID:-}:${VERSION_CODENAME:-}")
case "$codename" in
  debian:bookworm) here=bookworm there=trixie ;;
  debian:?*) here=${codename#debian:} there=$here ;;
  *) die "No etcd 3.5 or newer on PATH, and this system ($codename) is not Debian." ;;
esac

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/package" "$work/sources"
: >"$work/status"

# The entries of this machine's sources for exactly this release (not its updates, not other vendors').
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -r "$file" ] || continue
  awk -v here="$here" -v there="$there" '
    $1 == "deb" { at = 2; if ($2 ~ /^\[/) { while ($at !~ /\]$/ && at < NF) at += 1; at += 1 }
      if ($(at + 1) == here) { $(at + 1) = there; print } }' "$file" >>"$work/sources/own.list"
done
for file in /etc/apt/sources.list.d/*.sources; do
  [ -r "$file" ] || continue
  awk -v here="$here" -v there="$there" '
    BEGIN { RS = ""; FS = "\n" }
    { entry = ""; fits = 0
      for (i = 1; i <= NF; i += 1) {
        line = $i
        if (line ~ /^#/) continue
        if (line ~ /^[Ss]uites:/) { n = split(line, words, /[ \t]+/)
          for (w = 2; w <= n; w += 1) if (words[w] == here) fits = 1
          line = "Suites: " there }
        entry = entry line "\n" }
      if (fits) print entry }' "$file" >>"$work/sources/own.sources"
done

apt() {
  apt-get -qq -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" \
    -o "Dir::Cache=$work" -o "Dir::Cache::archives=$work/archives" -o Dir::Etc::sourcelist=/dev/null \
    -o "Dir::Etc::sourceparts=$work/sources" -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}
(apt update && cd "$work" && apt download etcd-server && dpkg -x etcd-server_*.deb "$work/package") >"$work/said" 2>&1 ||
  die "Could not fetch etcd-server from Debian $there with this machine's package sources: $(tail -n 1 "$work/said")."
fetched="$work/package/usr/bin/etcd"
fitting "$fetched" || die "The etcd-server of Debian $there is no etcd of version 3.5 or newer that runs here."
# A rename: another call that has been as quick put the same program there.
mv -f "$fetched" "$kept"
echo "$kept"
