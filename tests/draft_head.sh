#!/usr/bin/env bash
# A draft head for a network: its own texts, and the head. What it is worth: docs/draft-head.md, with the head beside the weights.
#
# INIT: the network, a name or a directory (of a delta, too). DATA: the task files, from which prompts of real language come; or
# TASKS: families of generated problems with their shares, for a network of those. OUT: everything that is made. PY: the python.
# COUNT: training prompts. STEPS, BATCH: of training. CANVAS: tokens of an answer.
# Prompts that are in OUT already are not made again (RUNS=prompts makes them and stops: no GPU is needed for that).
# What to keep of OUT: draft_head.safetensors, draft_head.losses.jsonl, times.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-data} TASKS=${TASKS:-} OUT=${OUT:-runs/draft-head}
COUNT=${COUNT:-3000} STEPS=${STEPS:-800} BATCH=${BATCH:-32} CANVAS=${CANVAS:-192}
mkdir -p "$OUT"

timed() { # name, command
    local began=$SECONDS
    "${@:2}"
    echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/times.txt"
}

own() { # texts, count, where prompts come from
    "$PY" -m fef.corpus.own --model "$INIT" --out "$1" --count "$2" --temperatures 0,0.7 \
        --max-new-tokens "$CANVAS" --max-batch 256 "${@:3}"
}

prompts() {
    "$PY" -m fef.corpus --prompts "$OUT/dialogue.jsonl"
    "$PY" -m fef.corpus --data "$DATA" --out "$OUT/corpus.jsonl" --count $((2 * COUNT)) --seed 7
    cat "$OUT/dialogue.jsonl" "$OUT/corpus.jsonl" >"$OUT/prompts.jsonl"
}

if [[ -n $TASKS ]]; then
    train=(--tasks "$TASKS")
else
    train=(--data "$OUT/prompts.jsonl")
    [[ -s $OUT/prompts.jsonl ]] || timed prompts prompts
    [[ ${RUNS:-} != prompts ]] || exit 0
fi
timed "own texts" own "$OUT/own.jsonl" "$COUNT" "${train[@]}"
rm -f "$OUT/draft_head.safetensors"
timed training "$PY" -m fef train --objective draft-head --init "$INIT" --data "$OUT/own.jsonl" --out "$OUT" \
    --steps "$STEPS" --batch-size "$BATCH" --log-every 20
