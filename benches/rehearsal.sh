# A rehearsal of four weeks, with 10,000 devices that ask and upgrade as the real ones would.
# Sourced by benches/run.

benches/fleet "$work/rehearsal" 10000
row "rehearsal of 10,000 devices over four weeks" \
    "$(best 3 true "$otapress" -f "$work/rehearsal/fleet.yaml" simulate) s" "" "10 s"
rm -rf "$work/rehearsal"
