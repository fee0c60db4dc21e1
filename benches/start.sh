# What the program takes to start, and a small fleet to be checked. In turns with a program that does nothing: a shell takes
# some of the time to start any.
# Sourced by benches/run.

benches/fleet "$work/ten" 10
starts=$work/start
for ((round = 0; round < 25; round++)); do
    timed nothing "$starts" 20 env true
    timed version "$starts" 20 "$otapress" --version
    timed check "$starts" 20 "$otapress" -f "$work/ten/fleet.yaml" check
done

# started_in NAME WHAT [TARGET]: wall and processor time.
started_in() {
    local column kinds=('' '' 'wall time' 'processor time')
    for column in 2 3; do
        row "start: $2, ${kinds[column]}" \
            "$(awk -v s="$(median "$1" "$starts" "$column")" 'BEGIN { printf "%.2f ms", s * 1000 }')" "" "${3:-}"
    done
}
started_in nothing "env true, which does nothing"
started_in version "otapress --version" "5 ms"
started_in check "check of ten devices" "5 ms"
rm -rf "$work/ten"
