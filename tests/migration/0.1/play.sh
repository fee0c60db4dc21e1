# The history that the fixtures hold, played with the programs of otapress 0.1 at faked times.
FT=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
cgi() { printf %s "$4" | env -i LD_PRELOAD=$FT "FAKETIME=@$1" TZ=UTC REQUEST_METHOD=POST "REQUEST_URI=$2" CONTENT_LENGTH=${#4} "HTTP_USER_AGENT=$3" OTAPRESS_OUT=$PWD/out OTAPRESS_STATE=$PWD/state $B/otapress-cgi | tail -1; echo " <- $2 $3 $4"; }
imei() { sed -n "s/^  $1: .*imei: \"\([0-9]*\)\".*/\1/p" fleet.yaml; }
vc() { cgi "2026-11-20 $1" /otap/version "GW/$(imei $2)" "$3"; }
nt() { cgi "2026-11-20 $1" "/otap/notify?id=$2" "TC65i/$(imei $2) Profile/IMP-NG Configuration/CLDC-1.1" "$3"; }
vc 08:00:00 silent 0.10.65
vc 08:01:00 installed 0.10.65
vc 08:02:00 proven 0.10.65
nt 08:03:00 installed "900 Success"
nt 08:04:00 proven "900 Success"
vc 08:05:00 proven 0.10.66
vc 08:06:00 failed 0.10.65
vc 08:07:00 back 0.10.65
nt 08:08:00 failed "903 Loss of service"
vc 08:10:00 faulty 0.10.64
vc 08:11:00 broken 0.10.64
nt 08:12:00 faulty "904 JAR size mismatch"
nt 08:13:00 broken "905 Attribute mismatch"
vc 08:20:00 halted 0.10.64
vc 08:30:00 pinned 0.10.65
vc 08:40:00 van 0.10.65
vc 08:50:00 late 0.10.65
vc 11:06:00 failed 0.10.65
vc 11:07:00 back 0.10.65
nt 11:08:00 failed "903 Loss of service"
vc 14:06:00 failed 0.10.65
vc 14:07:00 back 0.10.65
nt 14:08:00 failed "903 Loss of service"
vc 14:50:00 late 0.10.65
vc 17:07:00 back 0.10.65
