#!/usr/bin/env bash
# A draft head for a network: its own texts, and the head. What it is worth: docs/draft-head.md, with the head beside the weights.
#
# INIT: the network, a name or a directory (of a delta, too). DATA: the task files, from which problems come; or
# TASKS: families of generated problems with their shares, for a network of those. OUT: everything that is made. PY: the python.
# COUNT: problems. BASE, TURNS: a causal chat model, and how many questions of users it imagines, of which most are kept; none without
# BASE. STEPS, BATCH: of training, and WITHIN: its seconds at most, by whose end the learning rate has fallen. FROM: 1 goes on from the
# head that INIT has. CANVAS: tokens of an answer.
# Prompts that are in OUT already are not made again: problems.jsonl (of the task files, needs no GPU) and questions.jsonl
# (RUNS=prompts makes both and stops).
# What to keep of OUT: draft_head.safetensors, draft_head.losses.jsonl, times.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-data} TASKS=${TASKS:-} OUT=${OUT:-runs/draft-head}
COUNT=${COUNT:-2500} BASE=${BASE:-} TURNS=${TURNS:-6144} STEPS=${STEPS:-2200} BATCH=${BATCH:-32} CANVAS=${CANVAS:-192}
mkdir -p "$OUT"

timed() { # name, command
    local began=$SECONDS
    "${@:2}"
    echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/times.txt"
}

own() { # texts, where prompts come from
    "$PY" -m fef.corpus.own --model "$INIT" --out "$1" --temperatures 0,0.7 --max-new-tokens "$CANVAS" --max-batch 256 "${@:2}"
}

problems() {
    "$PY" -m fef.corpus --data "$DATA" --out "$OUT/problems.jsonl" --count "$COUNT" --seed 7
}

questions() {
    "$PY" -m fef.corpus --prompts "$OUT/dialogue.jsonl"
    if [[ -n $BASE ]]; then
        "$PY" -m fef.corpus.ask --from "$BASE" --count "$TURNS" --apart tests/chat_prompts.jsonl --out "$OUT/asked.jsonl"
        cat "$OUT/asked.jsonl" >>"$OUT/dialogue.jsonl"
    fi
    mv "$OUT/dialogue.jsonl" "$OUT/questions.jsonl"
}

if [[ -n $TASKS ]]; then
    prompts=(--tasks "$TASKS" --count "$COUNT")
else
    [[ -s $OUT/problems.jsonl ]] || timed problems problems
    [[ -s $OUT/questions.jsonl ]] || timed questions questions
    [[ ${RUNS:-} != prompts ]] || exit 0
    cat "$OUT/problems.jsonl" "$OUT/questions.jsonl" >"$OUT/prompts.jsonl"
    prompts=(--data "$OUT/prompts.jsonl" --count "$(wc -l <"$OUT/prompts.jsonl")")
fi
timed "own texts" own "$OUT/own.jsonl" "${prompts[@]}"
rm -f "$OUT/draft_head.safetensors"
timed training "$PY" -m fef train --objective draft-head --init "$INIT" --data "$OUT/own.jsonl" --out "$OUT" \
    --steps "$STEPS" --batch-size "$BATCH" --log-every 20 --seconds "${WITHIN:-300}" ${FROM:+--from-head}
