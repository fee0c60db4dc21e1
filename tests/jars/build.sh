#!/bin/sh
# Builds the two example JARs into a directory: tests/jars/build.sh OUTDIR; `--jdk` prints only the JDK that it would take.
#
# Needs a JDK from 17 to 19 (`jar --date` came with 17, and `javac -source 7` went with 20), which may be another one than the
# default, and ProGuard. The classes
# are what a Java ME toolchain makes: compiled against stubs of the device's classes alone, so that nothing else
# can be used, then preverified for CLDC by ProGuard, which also sets the version of the class files. The bytes are the same on every machine: nothing depends on
# the clock, the locale, the time zone or the umask, entries are given in a fixed order and without
# compression, because deflated bytes depend on the zlib at hand.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUTDIR | --jdk" >&2
    exit 2
fi
jdk=
for javac in "$(command -v javac || true)" /usr/lib/jvm/*/bin/javac; do
    [ -x "$javac" ] || continue
    case $("$javac" -version 2>&1) in
        'javac '1[789]*)
            jdk=$(dirname -- "$javac")
            break
            ;;
    esac
done
if [ -z "$jdk" ]; then
    echo "$0: there is no JDK from 17 to 19, in PATH or /usr/lib/jvm; later ones cannot compile for Java 7" >&2
    exit 1
fi
if [ "$1" = --jdk ]; then
    echo "$jdk"
    exit
fi
PATH=$jdk:$PATH
mkdir -p -- "$1"
out=$(cd -- "$1" && pwd)
here=$(cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export LC_ALL=C TZ=UTC
unset CLASSPATH JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS JDK_JAVAC_OPTIONS

# -Xlint:-options: the compiler warns that release 7 is old, which is the point.
compile() {
    javac -source 7 -target 7 -Xlint:-options -g:none -encoding UTF-8 -implicit:none -bootclasspath "$work/stubs" "$@"
}

mkdir "$work/stubs"
find "$here/stubs" -name '*.java' | sort > "$work/stubs.list"
compile -d "$work/stubs" "@$work/stubs.list"

for version in 0.10.65 0.10.66; do
    compiled=$work/$version.compiled
    classes=$work/$version
    mkdir "$compiled"
    compile -d "$compiled" \
        "$here/src/demo/owntracks/OwnTracks.java" "$here/release/$version/demo/owntracks/Release.java"
    # Into a directory: in the JARs that it writes the order of entries is not always the same.
    proguard -injars "$compiled" -outjars "$classes" -libraryjars "$work/stubs" -microedition -target 1.3 \
        -dontshrink -dontoptimize -dontobfuscate > "$work/proguard.log" || {
        cat "$work/proguard.log" >&2
        exit 1
    }

    # Created-By is given, because `jar` would write the JDK's own version.
    cat > "$work/manifest" <<MANIFEST
Manifest-Version: 1.0
Created-By: tests/jars/build.sh
MIDlet-Name: OwnTracks
MIDlet-Version: $version
MIDlet-Vendor: Choral
MIDlet-1: OwnTracks,,demo.owntracks.OwnTracks
MIDlet-Permissions: javax.microedition.io.Connector.http, javax.microedition.io.Connector.socket, javax.microedition.io.Connector.file.read, javax.microedition.io.Connector.file.write
MicroEdition-Profile: IMP-NG
MicroEdition-Configuration: CLDC-1.1
MANIFEST
    rm -f -- "$out/OwnTracks-$version.jar"
    jar --create --file "$out/OwnTracks-$version.jar" --manifest "$work/manifest" \
        --no-compress --date 2001-01-01T00:00:00Z \
        -C "$classes" demo/owntracks/OwnTracks.class -C "$classes" demo/owntracks/Release.class
done
