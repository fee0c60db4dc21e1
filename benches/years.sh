# How many device-years of a simulated fleet are played in a second of one core, without faults and with them; the checks of the
# oracle are a part of it.
# Sourced by benches/run.

cargo build --release --locked --quiet --package otapress-simulation --features otapress-simulation/testing --example soak

# played NAME WHAT TARGET ASSIGNMENTS...: the median of three runs.
played() {
    local name=$1 what=$2 target=$3 round
    shift 3
    for ((round = 0; round < 3; round++)); do
        env "$@" SEED=1 SECONDS_EACH=100000 "$examples/soak" > "$work/said"
        awk -v name="$name" '/^[0-9]+ device-years a second/ { print name, $1 }' "$work/said" >> "$work/years"
    done
    row "years: device-years a second, $what" "$(median "$name" "$work/years")" "" "$target"
}
played calm "without faults" 100 CALM=1 YEARS=400
played faults "with faults" 20 CALM=0 YEARS=200
