# Building: against a program that only writes the same files.
# Sourced by benches/run.
# shellcheck source=/dev/null
. benches/disks

bare=$examples/bare_writer

# build_on WHERE LAYOUT PATH-OF-JAD DIRECTORY FRESH: the figures of one layout on one file system; FRESH prepares it.
build_on() {
    local where=$1 layout=$2 jad=$3 dir=$4 fresh=$5 fleet written links untar first again changed said
    fleet=$space/fleet-$layout
    [ -d "$fleet" ] || benches/fleet "$fleet" "$N" "$jad"
    local source=$space/tree-$layout
    [ -d "$source" ] || "$otapress" -q -f "$fleet/fleet.yaml" -o "$source" build
    [ -f "$space/$layout.tar" ] || tar cf "$space/$layout.tar" -C "$source" .

    "$fresh"
    written=$("$bare" "$source" "$dir/bare")
    "$fresh"
    links=$("$bare" "$source" "$dir/bare" links)
    "$fresh"
    mkdir "$dir/tar"
    untar=$(seconds sh -c "tar xf '$space/$layout.tar' -C '$dir/tar' && sync -f '$dir/tar'")
    "$fresh"
    first=$(seconds "$otapress" -q -f "$fleet/fleet.yaml" -o "$dir/out" build)
    # The second one learns what the files are; what was written a moment ago is not trusted.
    sleep 2.1
    seconds "$otapress" -q -f "$fleet/fleet.yaml" -o "$dir/out" build > /dev/null
    # It was also the first to read the new directories, which the file system notes in each of them.
    sync -f "$dir"
    again=$(seconds "$otapress" -q -f "$fleet/fleet.yaml" -o "$dir/out" build)
    sed -i 's/^  dev7: { /&release: 0.10.65, /' "$fleet/fleet.yaml"
    changed=$(seconds "$otapress" -f "$fleet/fleet.yaml" -o "$dir/out" build)
    said=$(sed 's/, in .*//' "$work/said")
    sed -i 's/release: 0.10.65, //' "$fleet/fleet.yaml"

    row "$where, $layout: bare writer" "$written s"
    row "$where, $layout: bare writer with links" "$links s" "$(ratio "$links" "$written") of bare"
    row "$where, $layout: tar xf" "$untar s" "$(ratio "$untar" "$written") of bare"
    row "$where, $layout: fresh build" "$first s" "$(ratio "$first" "$written") of bare" "0.75"
    row "$where, $layout: unchanged build" "$again s" "$(ratio "$again" "$first") of fresh" "0.15"
    row "$where, $layout: one device changed" "$changed s" "$(ratio "$changed" "$again") of unchanged" "1.20"
    printf '   %s\n' "$said" >&2
}

in_memory() {
    rm -rf "$space/memory"
    mkdir "$space/memory"
}

layouts() {
    build_on "$1" nested 'files/@/OwnTracks.jad' "$2" "$3"
    build_on "$1" flat 'files/@.jad' "$2" "$3"
}

if [ "$in_memory_too" = yes ]; then layouts memory "$space/memory" in_memory; fi
if has_ext4; then
    layouts ext4 "$work/ext4" on_ext4
    umount "$work/ext4"
else
    skip "ext4" "needs root, mkfs.ext4 and loop devices"
fi

# costs WHAT COMMAND...: how long otapress takes for what writes nothing, and how much memory.
costs() {
    local what=$1 most
    shift
    most=$(peak "$otapress" -f "$space/fleet-nested/fleet.yaml" -o "$space/tree-nested" "$@")
    row "$what" "$(best 3 true "$otapress" -f "$space/fleet-nested/fleet.yaml" -o "$space/tree-nested" "$@") s, $most MB"
}

row "peak memory of a fresh build" "$(peak "$otapress" -q -f "$space/fleet-nested/fleet.yaml" -o "$space/peak-out" build) MB"
row "peak memory of an unchanged build" "$(peak "$otapress" -q -f "$space/fleet-nested/fleet.yaml" -o "$space/peak-out" build) MB"
costs check check
costs "plan against what is published" plan
costs "show of one device" show dev7
