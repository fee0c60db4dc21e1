#!/bin/sh
# Copies a published directory to the machine that serves it, so that no device meets half a release:
#
#   examples/rsync.sh out ota@ota.example.com:/srv/ota/out
#
# What is new is copied JARs first, then JADs, then answers; what is gone is removed in reverse. rsync writes beside a
# file and renames. Contents are compared (-c): size and time can be the same in two releases.
# A run that was interrupted is completed by the next one.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 OUT [USER@HOST:]DIR" >&2; exit 2; }
[ -f "$1/otapress.json" ] || { echo "$1 is not a published directory: run otapress build" >&2; exit 1; }
from=${1%/}/ to=${2%/}/

jars() { rsync "$@" --include='/jars/***' --exclude='*' "$from" "$to"; }
jads() { rsync "$@" --exclude=/jars/ --exclude=/vc/ --exclude=/otapress.json --exclude='.*' "$from" "$to"; }
answers() { rsync "$@" --include='/vc/***' --exclude='*' "$from" "$to"; }
site() { rsync "$@" --include=/otapress.json --exclude='*' "$from" "$to"; }

for step in jars jads answers site; do
    $step -rtc
done
for step in answers jads jars; do
    $step -r --delete --existing --ignore-existing
done
