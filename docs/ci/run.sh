#!/bin/sh
# Runs a sweep in slices on this machine, one after the other, and merges them: what a CI system does on several.
#
#     docs/ci/run.sh [SLICES [FOLDER [SCENARIO|OPTION...]]]
#     docs/ci/run.sh 4 report leader-kill --seeds 1000
#
# Ends as the merged sweep does: 0 as expected, 100 not. What a run ends with otherwise is passed on.
set -eu
slices=${1:-2}
folder=${2:-target/report}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] && shift
ironbird=${IRONBIRD:-ironbird}
mkdir -p "$folder"
# A sweep goes on from results it finds; these may be of an older program.
rm -f "$folder"/slice-*.jsonl

slice=1
while [ "$slice" -le "$slices" ]; do
    "$ironbird" run "$@" --partition "slice:$slice/$slices" --results "$folder/slice-$slice.jsonl" || {
        code=$?
        # 100 means that something is not as expected: the merged report says what.
        [ "$code" -eq 100 ] || exit "$code"
    }
    slice=$((slice + 1))
done
"$ironbird" merge "$folder"/slice-*.jsonl --html "$folder" --junit "$folder/results.xml"
