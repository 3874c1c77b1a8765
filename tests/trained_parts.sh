#!/usr/bin/env bash
# What some methods learn of a network: a dependency head (demask), an order-causal layer (ssmd), an unmasking policy (policy).
# A part whose file is there already is skipped. The names of the files are those that LAYERS of tests/real_language.sh takes.
#
# INIT: the network, a name or a directory. DATA: JSON lines of prompts and responses, for demask and ssmd; by default TASKS,
# families of generated problems with their shares, from which policy learns always. OUT: where the parts go. PY: the python.
# PARTS: some of the names. STEPS, BATCH, CANVAS: of training. STATES: of demask. seconds.txt in OUT says what each took.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-} TASKS=${TASKS:-word-problems:1} OUT=${OUT:-runs/parts}
PARTS=${PARTS:-demask ssmd policy} STEPS=${STEPS:-1000} BATCH=${BATCH:-32} CANVAS=${CANVAS:-128} STATES=${STATES:-1920}
mkdir -p "$OUT"
examples=(--tasks "$TASKS")
[[ -z $DATA ]] || examples=(--data "$DATA")

made() { # part, command
    local began=$SECONDS
    [[ -s $OUT/$1.safetensors ]] && return
    "${@:2}" && echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/seconds.txt"
}

for part in $PARTS; do
    training=("$PY" -m fef train --objective "$part" --init "$INIT" --out "$OUT" --steps "$STEPS" --batch-size "$BATCH" --json)
    case $part in
        demask) made demask "$PY" -m fef train-demask --model "$INIT" "${examples[@]}" --out "$OUT/demask.safetensors" --states "$STATES" \
            --canvas-length "$CANVAS" --max-prompt 256 ;;
        ssmd) made ssmd "${training[@]}" "${examples[@]}" --canvas-length "$CANVAS" --max-prompt 256 ;;
        policy) made policy "${training[@]}" --tasks "$TASKS" --canvas-length "$CANVAS" ;;
        *) echo "unknown part: $part" && exit 2 ;;
    esac
done
