# How long the JARs of a catalog take: each build unpacks and judges every class of every one, and remembers nothing of it.
# Sourced by benches/run.

# fleet_of RELEASES: a fleet of four devices with so many JARs of 200 classes, each of about 300 kB.
fleet_of() {
    local dir=$work/catalog-$1
    benches/fleet "$dir" 4
    rm "$dir"/jars/*.jar
    benches/suites "$dir/jars" "$1" 200 1020000
    sed -i 's/0\.10\.6[56]/0.10.0/' "$dir/fleet.yaml"
}

fleet_of 1
fleet_of 100
one=$(best 5 true "$otapress" -f "$work/catalog-1/fleet.yaml" check)
all=$(best 5 true "$otapress" -f "$work/catalog-100/fleet.yaml" check)
size=$(du --apparent-size --bytes --separate-dirs "$work/catalog-100/jars" | cut -f1)
row "jars: check of a catalog with one JAR" "$one s"
row "jars: the same with 100 JARs, $((size / 100000)) kB and 200 classes each, nothing cached" "$all s" "" "1.00 s"
rm -rf "$work/catalog-1" "$work/catalog-100"
