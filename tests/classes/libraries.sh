#!/usr/bin/env bash
# Judges the classes of real libraries: tests/classes/libraries.sh [JAR…]; without arguments, those below that are installed.
#
# Each library is preverified by ProGuard for CLDC, as a Java ME toolchain does, and judged by crates/classfile. Only what a
# desktop library really does must be found: class literals, and classes and members that CLDC lacks. `javap` must agree
# with each of them; any other finding is a false alarm, and the script fails.
#
# With all seven it tries 1,030 classes, and `javap` confirms 55 class literals and 688 missing classes and members. That takes
# two minutes of a processor, most of them in ProGuard and `javap`, and so it is run before a release and not by .ci/run.
#
# Needs a JDK 17, ProGuard, unzip and Rust. Debian: openjdk-17-jdk-headless proguard-cli unzip, and the libraries:
# libcommons-cli-java libcommons-io-java libcommons-lang3-java libjsr305-java libslf4j-java libplexus-utils2-java
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$here"

jars=("$@")
if [ ${#jars[@]} -eq 0 ]; then
    for name in commons-cli commons-io commons-lang3 jsr305 slf4j-api plexus-utils2 log4j-over-slf4j; do
        [ ! -e "/usr/share/java/$name.jar" ] || jars+=("/usr/share/java/$name.jar")
    done
fi
if [ ${#jars[@]} -eq 0 ]; then
    echo "no library is installed, and none was named" >&2
    exit 1
fi

cargo build --quiet -p otapress-classfile --example judge
judge=${CARGO_TARGET_DIR:-target}/debug/examples/judge

# ProGuard 6 reads class files up to version 57: the JDK's are of 61, and only their hierarchy matters here.
home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
mkdir "$work/jmod" "$work/jdk"
(cd "$work/jmod" && jmod extract "$home/jmods/java.base.jmod" && mv classes/java ../jdk/)
find "$work/jdk" -name '*.class' -exec sh -c \
    'for class; do printf "\000\071" | dd of="$class" bs=1 seek=6 conv=notrunc status=none; done' sh {} +

total=0
literals=0
references=0
for jar in "${jars[@]}"; do
    name=$(basename "$jar" .jar)
    mkdir "$work/$name.in"
    unzip -qo "$jar" '*.class' -d "$work/$name.in"
    rm -rf "$work/$name.in/META-INF" "$work/$name.in/module-info.class"
    proguard -injars "$work/$name.in" -outjars "$work/$name" -libraryjars "$work/jdk" -microedition -target 1.3 \
        -dontshrink -dontoptimize -dontobfuscate -dontwarn -dontnote -ignorewarnings > "$work/$name.log"
    "$judge" "$work/$name" > "$work/$name.findings" 2> "$work/$name.count"
    classes=$(cut -d' ' -f1 "$work/$name.count")
    total=$((total + classes))
    # 8.5 and 8.11: class literals, static methods of interfaces, and what is missing.
    if grep -vE '^(class-literal|class-instruction|api-[a-z-]+|class-missing[a-z-]*|member-missing[a-z-]*|class-native-method) ' \
        "$work/$name.findings"; then
        echo "$name: a false alarm" >&2
        exit 1
    fi
    shown=
    while read -r code path rest; do
        class=$work/$name/${path#\`}
        class=${class%\`:}
        # A class has several findings, one after the other.
        if [ "$class" != "$shown" ]; then
            javap -p -c "$class" > "$work/javap" 2> /dev/null
            shown=$class
        fi
        case $code in
            class-literal)
                grep -qE 'ldc(_w)? .*// class ' "$work/javap"
                literals=$((literals + 1))
                ;;
            class-instruction)
                grep -qE 'invoke(static|special) .*// InterfaceMethod ' "$work/javap"
                ;;
            *)
                # The last words in backticks are the class, or a member and its class.
                missing=$(grep -oE '(uses|catches) `[^`]+`( of `[^`]+`)?' <<< "$rest" | tail -1)
                of=$(sed -nE 's/.* of `([^`]+)`$/\1/p' <<< "$missing")
                what=$(sed -nE 's/^(uses|catches) `([^`]+)`.*/\2/p' <<< "$missing")
                if [ -n "$of" ]; then
                    what=${what%%(*}
                    what=${what%%:*}
                else
                    what=${what//./\/}
                fi
                # By dots in signatures and handlers, by slashes in the code.
                grep -qF -e "$what" -e "${what//\//.}" "$work/javap" || {
                    echo "$name: javap does not show \`$what\` in $path: $code" >&2
                    exit 1
                }
                references=$((references + 1))
                ;;
        esac
    done < <(grep -v '^class-native-method ' "$work/$name.findings" | sort -k 2)
    printf '%s: %s classes, %s findings\n' "$name" "$classes" "$(wc -l < "$work/$name.findings")"
done
echo "$total classes of ${#jars[@]} libraries; javap confirms $literals class literals and $references missing classes and members"
