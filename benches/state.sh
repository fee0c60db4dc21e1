# One instance of `otapress serve` on SQLite and one on PostgreSQL with its default settings, both on the same disk and in
# turns: 64 connections of one client.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/servers

programs=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1)
if [ -z "$programs" ]; then
    skip "state: PostgreSQL against SQLite" "PostgreSQL is not installed"
else
    fleet=$work/fleet-state
    fleet_to_serve "$fleet" "$N"

    # What has to survive a loss of power is on a disk.
    disk=$(mktemp -d)
    cleanups+=("rm -rf '$disk'")
    chmod 755 "$disk"
    as=()
    if [ "$(id -u)" -eq 0 ]; then
        # The server refuses to run as root.
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
        install -d -o postgres -g postgres "$disk/pg"
    else
        install -d "$disk/pg"
    fi
    database=$(free_port)
    (cd / && "${as[@]}" "$programs/initdb" -D "$disk/pg/data" -E UTF8 -U otapress -A trust > "$work/said" 2>&1) ||
        { cat "$work/said" >&2; exit 1; }
    start "${as[@]}" "$programs/postgres" -D "$disk/pg/data" -k "$disk/pg" -h 127.0.0.1 -p "$database"
    await "$database"
    until "$programs/pg_isready" -q -h 127.0.0.1 -p "$database"; do sleep 0.1; done

    declare -A port
    for engine in SQLite PostgreSQL; do
        place=$disk/state
        [ "$engine" = SQLite ] || place=postgres://otapress@127.0.0.1:$database/postgres
        port[$engine]=$(free_port)
        start "$otapress" -q -f "$fleet/fleet.yaml" -s "$place" serve --no-build --listen "127.0.0.1:${port[$engine]}"
        await "${port[$engine]}"
    done

    rounds=5
    for ((round = 0; round < rounds; round++)); do
        part=$((N / 2 / rounds))
        for engine in SQLite PostgreSQL; do
            # on WHAT SECONDS ARGUMENTS...: what 64 connections get.
            on() {
                local what=$1 time=$2
                shift 2
                load "$engine-$what" "$work/state" -t1 -c64 -d"${time}s" -s benches/check.lua \
                    "http://127.0.0.1:${port[$engine]}" -- /otap/version "$@"
            }
            # Nothing changes but the first time; a change that may be forgotten; an offer that may not.
            on same 2 "$((N / 2))" "$((N / 2 + 1000))" 0.10.65
            on change 2 "$((N / 2))" "$N" "0.10.$((66 + 2 * round))" "0.10.$((67 + 2 * round))"
            on offer 1 "$((round * part))" "$(((round + 1) * part))" 0.10.64
        done
    done
    end_started

    while read -r what name; do
        sqlite=$(median "SQLite-$what" "$work/state")
        postgresql=$(median "PostgreSQL-$what" "$work/state")
        row "state: $name, SQLite" "$sqlite/s"
        row "state: $name, PostgreSQL" "$postgresql/s" "$(ratio "$postgresql" "$sqlite") of SQLite's"
    done << 'END'
same version check that changes nothing
change version check, recorded
offer version check with an offer, durable
END
fi
