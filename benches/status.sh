# `otapress status` and its page, of a fleet with a year of history: six offers and 24 events of each device.
# Sourced by benches/run.

fleet=$work/fleet-status
benches/fleet "$fleet" "$N" --csv
"$examples/history" "$fleet/fleet.yaml" "$fleet/state" 6 365
looks=$work/status
of_fleet=("$otapress" -f "$fleet/fleet.yaml" status)
for ((round = 0; round < 5; round++)); do
    timed text "$looks" 1 "${of_fleet[@]}"
    timed page "$looks" 1 "${of_fleet[@]}" --html "$work/report"
done

# looked NAME WHAT TARGET COMMAND...
looked() {
    row "status: $2, wall time" "$(printf %.2f "$(median "$1" "$looks")") s, $(peak "${@:4}") MB"
    row "status: $2, processor time" "$(printf %.2f "$(median "$1" "$looks" 3)") s" "" "$3"
}
looked text "of a fleet with a year of history" "1.00 s" "${of_fleet[@]}"
looked page "its page" "2.00 s" "${of_fleet[@]}" --html "$work/report"
rm -rf "$fleet" "$work/report"
