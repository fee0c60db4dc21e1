# What a version check costs the server, with few devices and with many: in out/ and in the database.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/servers

# In units of 10 ms, what the processes of a group have used.
ticks() {
    cat /proc/[0-9]*/stat 2> /dev/null | sed 's/.*) //' | awk -v group="$1" '$3 == group { sum += $12 + $13 } END { print sum }'
}

# per_check NAME DEVICES [OPTIONS OF benches/fleet]...: leaves in `cost` the microseconds of processor time of a check. All
# devices are in the database by then. With `releases` set, they have been offered so many in ten years.
per_check() {
    local name=$1 devices=$2 dir=$work/growth-$1 port checks used
    shift 2
    # Without a directory for each: what matters is how many names are in vc/.
    fleet_to_serve "$dir" "$devices" 'files/@.jad' "$@"
    if [ -n "${releases:-}" ]; then "$examples/history" "$dir/fleet.yaml" "$dir/state" "$releases" 3650; fi
    port=$(free_port)
    start "$otapress" -q -f "$dir/fleet.yaml" -s "$dir/state" serve --no-build --listen "127.0.0.1:$port"
    await "$port"
    # Until each is recorded, then with other versions.
    ask() {
        load "$name-$1" "$work/growth" -t1 -c64 -d"$2s" -s benches/check.lua "http://127.0.0.1:$port" -- \
            /otap/version 0 "$devices" "$3" "$4"
    }
    ask fill "$((2 + devices / 10000))" 0.10.66 0.10.67
    used=$(ticks "${started[-1]}")
    ask measured 5 0.10.68 0.10.69
    checks=$(awk -v name="$name-measured" '$1 == name { print $2 * 5 }' "$work/growth")
    cost=$(awk -v ticks="$(($(ticks "${started[-1]}") - used))" -v n="$checks" 'BEGIN { printf "%.1f", ticks * 10000 / n }')
    end_started
    rm -rf "$dir"
}

# compared FEW MANY TARGET: rows for the figures in `few` and `many`.
compared() {
    row "growth: a version check, $1" "$few µs"
    row "growth: a version check, $2" "$many µs" "$(ratio "$many" "$few") ×" "$3"
}

per_check few-devices 1000
few=$cost
per_check many-devices 1000000
many=$cost
compared "1,000 devices" "1,000,000 devices" 1.30

# In otapress.json, and in the database.
per_check one-rollout 10000
few=$cost
per_check many-rollouts 10000 --channels=200
many=$cost
compared "10,000 devices, one rollout" "200 rollouts" 1.20

releases=60 per_check history 10000
many=$cost
compared "10,000 devices, no history" "60 releases and 2.4 million events in ten years" 1.20
