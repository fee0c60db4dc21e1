# What a version check costs the server, with few devices and with many: in out/ and in the database.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/servers

# In units of 10 ms, what the processes of a group have used.
ticks() {
    cat /proc/[0-9]*/stat 2> /dev/null | sed 's/.*) //' | awk -v group="$1" '$3 == group { sum += $12 + $13 } END { print sum }'
}

# per_check DEVICES: leaves in `cost` the microseconds of processor time of a check; all devices are in the database by then.
per_check() {
    local devices=$1 dir=$work/growth-$1 port checks used
    # Without a directory for each: what matters is how many names are in vc/.
    fleet_to_serve "$dir" "$devices" 'files/@.jad'
    port=$(free_port)
    start "$otapress" -q -f "$dir/fleet.yaml" -s "$dir/state" serve --no-build --listen "127.0.0.1:$port"
    await "$port"
    # Until each is recorded, then with other versions.
    ask() {
        load "$1" "$dir/load" -t1 -c64 -d"$2s" -s benches/check.lua "http://127.0.0.1:$port" -- \
            /otap/version 0 "$devices" "$3" "$4"
    }
    ask fill "$((2 + devices / 10000))" 0.10.66 0.10.67
    used=$(ticks "${started[-1]}")
    ask measured 5 0.10.68 0.10.69
    checks=$(awk '$1 == "measured" { print $2 * 5 }' "$dir/load")
    cost=$(awk -v ticks="$(($(ticks "${started[-1]}") - used))" -v n="$checks" 'BEGIN { printf "%.1f", ticks * 10000 / n }')
    end_started
    rm -rf "$dir"
}

per_check 1000
few=$cost
per_check 1000000
many=$cost
row "growth: a version check, 1,000 devices" "$few µs"
row "growth: a version check, 1,000,000 devices" "$many µs" "$(ratio "$many" "$few") ×" "1.30"
