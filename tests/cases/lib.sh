# Sourced by each run.sh, which shows a fault that otapress had. B is the folder with otapress and otapress-cgi, JARS that with the two
# sample JARs of the repository. A run.sh exits with 0 while the fault is there, with 1 when it is gone, and with 2 where it cannot be
# tried. `make cases` runs them all. The tests of the project that hold the same are named behind `Held by`.
set -u
: "${B:?folder with otapress and otapress-cgi}" "${JARS:?folder with the sample JARs}"
export PATH=$B:$PATH TZ=UTC LC_ALL=C.UTF-8
FT=${FT:-$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null)}   # Debian: faketime
HERE=$(cd "$(dirname "$0")" && pwd); W=$(mktemp -d "${TMPDIR:-/tmp}/otapress-case.XXXXXX"); trap 'rm -rf "$W"' EXIT; cd "$W"; cp -r "$JARS" jars
fault() { echo "FAULT: $*"; exit 0; }
fine() { echo "fine: $*"; exit 1; }
skip() { echo "cannot try here: $*"; exit 2; }
# fleet [CHANNELS] [EXTRA LINES]: fleet.yaml with devices dev1..dev3
fleet() { cat > fleet.yaml <<Y
site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
${PROV-}
midlet: { name: OwnTracks, vendor: Choral }
channels: ${1-"{ stable: 0.10.65 }"}
default: { channel: stable ${DEF-} }
${2-}
devices:
${DEVS-"  dev1: { imei: \"352099001761481\" }
  dev2: { imei: \"352099001761499\" }
  dev3: { imei: \"352099001761507\" }"}
Y
}
# devs N: N devices with valid IMEIs into DEVS
devs() { DEVS=$(python3 - "$1" <<'P'
import sys
for i in range(1,int(sys.argv[1])+1):
    b='3520990017%04d'%i; t=0
    for k,c in enumerate(reversed(b)):
        d=int(c)*(2 if k%2==0 else 1); t+=d-9 if d>9 else d
    print('  dev%d: { imei: "%s%d" }'%(i,b,(10-t%10)%10))
P
); }
imei() { sed -n "s/^  dev$1: .*\"\([0-9]*\)\".*/\1/p" fleet.yaml; }
# vc TIME IMEI VERSION: a version check; nt TIME IMEI ID TEXT: a result; both through the CGI at TIME
cgi() { printf %s "$4" | env -i PATH="$PATH" ${1:+LD_PRELOAD=$FT "FAKETIME=@$1"} TZ=UTC REQUEST_METHOD=POST "REQUEST_URI=$2" \
  "CONTENT_LENGTH=$(printf %s "$4" | wc -c)" "HTTP_USER_AGENT=$3" OTAPRESS_OUT="$W/out" "OTAPRESS_STATE=${STATE-$W/state}" "$B/otapress-cgi"; }
vc() { cgi "$1" /otap/version "GW/$2" "$3" | tail -1; }
nt() { cgi "$1" "/otap/notify?id=$3" "TC65i/$2 Profile/IMP-NG Configuration/CLDC-1.1" "$4"; }
at() { t=$1; shift; env LD_PRELOAD="$FT" "FAKETIME=@$t" "$@"; }
# For cases that need many offers at once.
UNPROVEN=', unproven: unlimited'
