# `otapress serve` against nginx that sends static files: 64 connections of one client, version checks and downloads.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/servers

fleet=$work/fleet-serve
fleet_to_serve "$fleet" "$N"
out=$fleet/out

nginx=$(free_port)
start_nginx "$nginx" 2 "location / { root $out; }"
serve=$(free_port)
# What has to survive a loss of power is on a disk.
state=$(mktemp -d)
cleanups+=("rm -rf '$state'")
start "$otapress" -q -f "$fleet/fleet.yaml" -s "$state" serve --no-build --listen "127.0.0.1:$serve"
otapress_serve=${started[-1]}
await "$serve"

# from PORT NAME SECONDS SCRIPT ARGUMENTS...: what 64 connections get.
from() {
    local port=$1 name=$2 time=$3 script=$4
    shift 4
    load "$name" "$work/serve" -t1 -c64 -d"${time}s" -s "benches/$script.lua" "http://127.0.0.1:$port" -- "$@"
}

answers=("$out"/vc/*.json)
small=vc/${answers[0]##*/}
jad=files/dev7/OwnTracks.jad
jar=$(cd "$out" && echo jars/0.10.65/*/*.jar)
rounds=5
for ((round = 0; round < rounds; round++)); do
    from "$nginx" nginx-small 2 get "/$small"
    # Every check is recorded, and every offer is kept before it is answered, whatever happens.
    from "$serve" check 2 check /otap/version "$((N / 2))" "$N" "0.10.$((66 + 2 * round))" "0.10.$((67 + 2 * round))"
    part=$((N / 2 / rounds))
    from "$serve" offer 1 check /otap/version "$((round * part))" "$(((round + 1) * part))" 0.10.64
    from "$nginx" nginx-jad 1 get "/$jad"
    from "$serve" jad 1 get "/$jad"
    from "$nginx" nginx-jar 1 get "/$jar"
    from "$serve" jar 1 get "/$jar"
done

# compared WHAT NAME AGAINST TARGET
compared() {
    row "serve: $1" "$(median "$2" "$work/serve")/s" \
        "$(ratio "$(median "$2" "$work/serve")" "$(median "$3" "$work/serve")") of nginx's" "$4"
}
row "nginx: small file, 64 connections" "$(median nginx-small "$work/serve")/s"
compared "version check, recorded" check nginx-small 0.55
compared "version check with an offer, durable" offer nginx-small 0.50
compared JAD jad nginx-jad 0.90
compared JAR jar nginx-jar 0.90
p99() { awk -v w="$1" '$1 == w { print $1, $3 }' "$work/serve" > "$work/p99" && median "$1" "$work/p99"; }
row "serve: 99th percentile of a version check" "$(p99 check) µs" "$(ratio "$(p99 check)" "$(p99 nginx-small)") × nginx's" "1.50"

# Connections that say nothing, each opened by a shell that holds as many as it may.
idle=10000
before=$(awk '/^VmRSS/ { print $2 }' "/proc/$otapress_serve/status")
hold() {
    local n connections=()
    ulimit -n 20000
    for ((n = 0; n < idle; n++)); do
        exec {connections[n]}<> "/dev/tcp/127.0.0.1/$serve"
    done
    : > "$work/held"
    sleep 60
}
hold &
holder=$!
while [ ! -e "$work/held" ] && kill -0 "$holder" 2> /dev/null; do sleep 0.1; done
row "serve: memory with $idle idle connections" \
    "$(awk '/^VmRSS/ { printf "%.0f MB", $2 / 1024 }' "/proc/$otapress_serve/status")" "before: $((before / 1024)) MB" "100 MB"
kill "$holder"
end_started
