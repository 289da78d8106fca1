#!/bin/sh
# Runs a sweep in slices on this machine, one after the other, and merges them: what a CI system does on several.
#
#     docs/ci/run.sh [SLICES [FOLDER [SCENARIO...]]]
#
# Ends as the merged sweep does: 0 as expected, 100 not.
set -eu
slices=${1:-2}
folder=${2:-target/report}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] && shift
ironbird=${IRONBIRD:-ironbird}
mkdir -p "$folder"

slice=1
while [ "$slice" -le "$slices" ]; do
    "$ironbird" run "$@" --partition "slice:$slice/$slices" --json "$folder/slice-$slice.json" || [ $? -eq 100 ]
    slice=$((slice + 1))
done
"$ironbird" merge "$folder"/slice-*.json --html "$folder" --junit "$folder/results.xml"
