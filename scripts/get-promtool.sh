#!/bin/sh
# Prints the path of Prometheus' promtool, with which tests check the metrics and the alert rules. In
# this order: the program that MUSTER_PROMTOOL names; `promtool` on PATH; what an earlier call has
# fetched; and on Debian and Ubuntu the one of the package prometheus, which is fetched and unpacked but
# not installed, so that no server starts. May run several times at once. `--cached` never fetches,
# `--help` says this.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="$root/node_modules/.cache/muster/promtool"
kept="$cache/promtool"

die() {
  echo "get-promtool: $1 Install Prometheus, or set MUSTER_PROMTOOL to the path of its promtool." >&2
  exit 1
}

case "${1:-}" in
  --help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  --cached | '') ;;
  *) echo "get-promtool: unknown argument '$1'; there is only --cached" >&2; exit 2 ;;
esac

if [ -n "${MUSTER_PROMTOOL:-}" ]; then
  [ -x "$MUSTER_PROMTOOL" ] || die "MUSTER_PROMTOOL is '$MUSTER_PROMTOOL', which is no program."
  echo "$MUSTER_PROMTOOL"
  exit 0
fi
if found=$(command -v promtool); then
  echo "$found"
  exit 0
fi
if [ -x "$kept" ]; then
  echo "$kept"
  exit 0
fi
[ "${1:-}" != --cached ] || die 'No promtool is on PATH or has been fetched.'
command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 ||
  die 'No promtool on PATH, and no apt-get to fetch one with.'

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
# Lists of our own when the machine has none yet: fetching needs no root, updating its lists would.
mkdir -p "$work/lists/partial" "$work/package"
: >"$work/status"
fetch() {
  (cd "$work" && apt-get -qq -o APT::Sandbox::User= -o Acquire::Retries=2 "$@" download prometheus)
}
own="-o Dir::State::lists=$work/lists -o Dir::State::status=$work/status -o Dir::Cache=$work"
# shellcheck disable=SC2086 # word splitting is meant
fetch >"$work/said" 2>&1 ||
  { apt-get -qq $own -o APT::Sandbox::User= -o Acquire::Languages=none update && fetch $own; } >"$work/said" 2>&1 ||
  die "Could not fetch the package prometheus: $(tail -n 1 "$work/said")."
dpkg -x "$work"/prometheus_*.deb "$work/package" || die 'The package prometheus could not be unpacked.'
fetched="$work/package/usr/bin/promtool"
"$fetched" --version >/dev/null 2>&1 || die 'The promtool of the package prometheus does not run here.'
# A rename: another call that has been as quick put the same program there.
mv -f "$fetched" "$kept"
echo "$kept"
