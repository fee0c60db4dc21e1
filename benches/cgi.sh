# otapress-cgi under nginx and fcgiwrap, 8 clients, against the least that a CGI program can be. Every request is the
# first check of a device: it writes the device and an event.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/servers

CARGO_TERM_QUIET=true cargo cgi
cc -O2 -static -s -o "$work/hello" benches/hello.c
# Both where `make install` would put them: copied, and on a disk. As the linker leaves a program, or in a file system in
# memory, it lies in more and smaller pieces, each of which costs every process a page fault.
installed=$(mktemp -d)
cleanups+=("rm -r '$installed'")
install -t "$installed" "$work/hello" "$(dirname "$otapress")/otapress-cgi"
cgi=$installed/otapress-cgi

fleet=$work/fleet-cgi
fleet_to_serve "$fleet" 50000

port=$(free_port)
pass() {
    echo "location /$1 { fastcgi_pass unix:$work/fcgi; fastcgi_param SCRIPT_FILENAME $2; fastcgi_param REQUEST_URI /otap/version;
        fastcgi_param REQUEST_METHOD \$request_method; fastcgi_param CONTENT_LENGTH \$content_length;
        fastcgi_param OTAPRESS_OUT $fleet/out; fastcgi_param OTAPRESS_STATE $fleet/state; }"
}
start fcgiwrap -c 8 -s "unix:$work/fcgi"
start_nginx "$port" 1 "$(pass hello "$installed/hello")" "$(pass check "$cgi")"

rounds=5
for ((round = 0; round < rounds; round++)); do
    for path in hello check; do
        load "$path" "$work/cgi" -t1 -c8 -d2s -s benches/check.lua "http://127.0.0.1:$port" -- \
            "/$path" "$((25000 + round * 5000))" "$((30000 + round * 5000))" 0.10.66
    done
done
end_started

hello=$(median hello "$work/cgi")
check=$(median check "$work/cgi")
row "CGI: static hello in C" "$hello/s"
row "CGI: first version check, recorded" "$check/s" "$(ratio "$hello" "$check") × its time" "1.35"
row "CGI: peak memory" "$(printf 0.10.65 | peak env REQUEST_METHOD=POST CONTENT_LENGTH=7 REQUEST_URI=/otap/version \
    HTTP_USER_AGENT=GW/352090000000000 OTAPRESS_OUT="$fleet/out" OTAPRESS_STATE="$fleet/state" "$cgi") MB" "" "8 MB"
row "CGI: size of the program" "$(stat -L -c %s "$cgi" | awk '{ printf "%.1f MB", $1 / 1e6 }')" "" "3 MB"
