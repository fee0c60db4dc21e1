# A month of a fleet in git, as a shell plays it: nobody opens an editor, and every commit is good.
#
# Run by tests/it/month.rs in an empty directory, with otapress on the PATH, the JARs of 0.10.65 to 0.10.67 in $JARS, and
# `device IMEI CLIENT VERSION [RESULT]`, which posts what a device posts.
set -euo pipefail

imeis=(352099001761408 352099001761416 352099001761424 352099001761432 352099001761440 352099001761457 352099001761465 352099001761473 352099001761481 352099001761499)

say() { printf '\n== %s\n' "$*"; }

# What is edited or added is built: also a JAR is published before a device is told of it.
commit() {
    otapress -q build
    git add --all
    git commit --quiet --message="$1"
}

# Fails unless a command ends with that status.
ends_with() {
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    [ "$status" -eq "$wanted" ] || { echo "exit code $status, not $wanted: $*" >&2; exit 1; }
}

git init --quiet --bare --initial-branch=main bare.git
git clone --quiet bare.git fleet 2> /dev/null
cd fleet
git switch --quiet --create main 2> /dev/null || true
git config user.name Operator
git config user.email operator@example.com

say 'Day 1: a fleet, its first release, devices'
otapress init . --site http://ota.example.com --apn internet --jar "$JARS/OwnTracks-0.10.65.jar"
for n in 0 1 2 3 4 5 6 7 8 9; do
    otapress -q edit add-device "dev$n" --imei "${imeis[n]}"
done
commit 'The fleet'
otapress promote canary 0.10.65 --new
otapress -q edit move dev0 dev1 --channel canary --comment 'in the yard'
commit 'Two devices go first'
git push --quiet --set-upstream origin main
for n in 0 1 2 3 4 5 6 7 8 9; do
    device "${imeis[n]}" "dev$n" 0.10.65
done

say 'Day 5: a release goes to the canary, is proven, and goes to everyone'
otapress add "$JARS/OwnTracks-0.10.66.jar"
ends_with 1 otapress promote canary 0.10.66 --commit # its JAR is not committed yet
commit 'OwnTracks 0.10.66'
otapress promote canary 0.10.66 --commit
gate=(otapress promote stable 0.10.66 --gate --min-success 95% --min-finished 2 --commit)
ends_with 4 "${gate[@]}"
for n in 0 1; do
    device "${imeis[n]}" "dev$n" 0.10.65
    device "${imeis[n]}" "dev$n" 0.10.65 '900 Success'
    device "${imeis[n]}" "dev$n" 0.10.66
done
# A channel between the two, for half of the others.
otapress promote early 0.10.65 --new
otapress -q edit move dev2 dev3 dev4 dev5 --channel early
commit 'Four devices go second'
otapress promote early 0.10.66 --gate --min-success 95% --min-finished 2 --commit
for n in 2 3 4 5; do
    device "${imeis[n]}" "dev$n" 0.10.65
    device "${imeis[n]}" "dev$n" 0.10.66
done
"${gate[@]}"
"${gate[@]}" # a timer calls it again
git push --quiet
for n in 6 7 8 9; do
    device "${imeis[n]}" "dev$n" 0.10.65
    device "${imeis[n]}" "dev$n" 0.10.66
done
otapress status --gate --min-success 100%

say 'Day 12: a tracker is broken and is replaced, another one is in the workshop'
otapress -q edit replace dev4 --imei 352099001761507
otapress -q edit hold dev5 --comment 'in the workshop'
commit 'A new modem for dev4; dev5 is held'
device 352099001761507 dev4 0.10.65
device 352099001761507 dev4 0.10.66

say 'Day 15: a bad release halts at the canary, and is taken back'
otapress add "$JARS/OwnTracks-0.10.67.jar"
commit 'OwnTracks 0.10.67'
otapress promote canary 0.10.67 --commit
for n in 0 1; do
    device "${imeis[n]}" "dev$n" 0.10.66
    device "${imeis[n]}" "dev$n" 0.10.66 '905 Attribute mismatch'
done
ends_with 4 otapress promote stable 0.10.67 --gate --min-success 95% --commit
ends_with 1 otapress promote canary --back --to 0.10.66 --commit # one device more must fail
otapress -q edit move dev2 --channel canary
commit 'dev2 goes first, too'
device "${imeis[2]}" dev2 0.10.66
device "${imeis[2]}" dev2 0.10.66 '905 Attribute mismatch'
otapress promote canary 0.10.67 --back --to 0.10.66 --commit
otapress promote canary 0.10.67 --back --to 0.10.66 --commit # again
git push --quiet
device "${imeis[0]}" dev0 0.10.66
otapress show dev0 | grep -q 0.10.66

say 'Day 20: the workshop is done'
otapress -q edit unhold dev5
commit 'dev5 is back'
git push --quiet

say 'Every commit is good'
commits=$(git rev-list --reverse main)
[ "$(wc -l <<< "$commits")" -ge 13 ]
git clone --quiet ../bare.git ../check
cd ../check
for commit in $commits; do
    git checkout --quiet "$commit"
    git log -1 --format='%h %s'
    otapress -q check --strict
    otapress -q build --check
done
[ -z "$(git status --porcelain)" ]
