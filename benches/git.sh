# What a command that changes nothing takes, against git, which looks at the same files: a fleet whose devices are all in an
# inventory, published and committed.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/disks

if has_ext4; then
    repository=$work/ext4/fleet
else
    # Whatever the disk has.
    disk=$(mktemp -d)
    cleanups+=("rm -rf '$disk'")
    repository=$disk/fleet
fi
benches/fleet "$repository" "$N" --csv
by_otapress() {
    "$otapress" -q -f "$repository/fleet.yaml" "$@"
}
by_git() {
    git -C "$repository" -c user.name=benches -c user.email=benches@example.com -c gc.auto=0 "$@"
}
by_otapress build
by_git init -q
by_git add -A
by_git commit -q -m "A fleet"
# What was written a moment ago is not trusted, by either of them: the second look learns it.
sleep 2.1
settle() {
    by_otapress build
    by_git status > /dev/null
    sync -f "$repository"
}
settle

looks=$work/git
rounds=5
for ((round = 0; round < rounds; round++)); do
    timed diff "$looks" 1 by_git diff --quiet
    timed status "$looks" 1 by_git status
    timed build "$looks" 1 by_otapress build
    timed check "$looks" 1 by_otapress build --check
    timed plan "$looks" 1 by_otapress plan
done
# One device changes its group, and comes back to it in the next round.
groups=(vans couriers)
for ((round = 0; round < 2 * rounds; round++)); do
    sed -i "s/^\\(dev7,[0-9]*\\),.*/\\1,${groups[round % 2]}/" "$repository/vans.csv"
    timed changed "$looks" 1 by_otapress build
    sleep 2.1
    settle
    timed unchanged "$looks" 1 by_otapress build
done

# both NAME: wall and processor time.
both() {
    echo "$(median "$1" "$looks") s, $(median "$1" "$looks" 3) s"
}

# against NAME OTHER TARGET: a row for wall time and one for processor time.
against() {
    local column kinds=('' '' 'wall time' 'processor time')
    for column in 2 3; do
        row "git: $1 against $2, ${kinds[column]}" "$(median "$1" "$looks" "$column") s" \
            "$(ratio "$(median "$1" "$looks" "$column")" "$(median "$2" "$looks" "$column")")" "$3"
    done
}

row "git: git diff --quiet; wall and processor time" "$(both diff)"
row "git: git status" "$(both status)"
for command in build check plan; do
    against "$command" diff 1.50
    against "$command" status 0.40
done
against changed unchanged 1.15
if mountpoint -q "$work/ext4"; then umount "$work/ext4"; fi
