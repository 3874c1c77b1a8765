#!/usr/bin/env bash
# FeF's own recipe on a network: the position-conditioned fine-tune for the rows law (2605.14305), strict and cheap, beside the
# same fine-tune with random masks, and GSM8K by 1, 2 and 4 steps and windows of 4, 8 and 16. One small file a run, and a page.
# A run whose file is there already is skipped, so the same command goes on where it was stopped.
#
# INIT: the network, a name or a directory (of a delta, too). DATA: the task files. CORPUS: the examples, JSONL; made if there is
# none. OUT: everything that is made. PY: the python. COUNT: examples made. STEPS, TOKENS, LR: of training. CANVAS: tokens of an
# answer. LIMIT: problems of one token per pass, and of the packed law; FEW: of rounds. SESSIONS, BATCH: prompts at once in
# rounds of the rows law, and in all others. RUNS: some of the names below.
# What to keep of OUT: *.json, *.losses.jsonl, rows-law.md, times.txt; the fine-tuned networks are 270 MB each.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-data} OUT=${OUT:-runs/rows-law} CORPUS=${CORPUS:-${OUT:-runs/rows-law}/corpus.jsonl}
COUNT=${COUNT:-72000} STEPS=${STEPS:-500} TOKENS=${TOKENS:-32768} LR=${LR:-5e-5} CANVAS=${CANVAS:-192} MAX_PROMPT=${MAX_PROMPT:-256}
LIMIT=${LIMIT:-100000} FEW=${FEW:-128} SESSIONS=${SESSIONS:-64} BATCH=${BATCH:-512} WARMUP=${WARMUP:-50} MORE=${MORE:-}
RUNS=${RUNS:-packed corpus strict plain cheap}
mkdir -p "$OUT"

timed() { # name, command
    local began=$SECONDS
    "${@:2}" || echo "$1 failed"
    echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/times.txt"
}

measure() { # file, model, problems, prompts at once, more arguments
    local file=$OUT/$1.json
    [[ -s $file ]] && return
    # shellcheck disable=SC2086
    timed "$1" "$PY" -m fef eval gsm8k --model "$2" --data "$DATA" --max-new-tokens "$CANVAS" --temperature 0 --engine \
        --dtype "${DTYPE:-bfloat16}" --limit "$3" --batch-size "$4" --save "$file" "${@:5}" $MORE
}

fine_tune() { # name, form, shares of masks
    [[ -s $OUT/$1/model.safetensors ]] && return
    # shellcheck disable=SC2086
    timed "training $1" "$PY" -m fef train --init "$INIT" --no-packed --form "$2" --patterns "$3" --data "$CORPUS" --drop-long \
        --out "$OUT/$1" --steps "$STEPS" --batch-tokens "$TOKENS" --row-tokens "$TOKENS" --canvas-length "$CANVAS" \
        --max-prompt "$MAX_PROMPT" --lr "$LR" --warmup "$WARMUP" --save-minutes 60 --log-every 20 $MORE
    cp "$OUT/$1/losses.jsonl" "$OUT/$1.losses.jsonl"
}

# one token per pass has the law of one step; rounds show what windows and further steps cost and change
rows() { # name, model
    measure "rows-$1" "$2" "$LIMIT" "$BATCH" --method sequential --verify rows
    for steps in 1 2 4; do
        measure "rows-$1-steps$steps-w16" "$2" "$FEW" "$SESSIONS" --verify rows --window 16 --steps "$steps"
    done
}

for run in $RUNS; do
    case $run in
        packed) measure "packed" "$INIT" "$LIMIT" "$BATCH" --verify packed --window 16 ;;
        corpus) [[ -s $CORPUS ]] || timed corpus "$PY" -m fef.corpus --data "$DATA" --out "$CORPUS" --count "$COUNT" --seed 5 ;;
        untrained) rows untrained "$INIT" ;;
        strict)
            fine_tune strict strict 0,1,0
            rows strict "$OUT/strict"
            for window in 4 8; do
                for steps in 1 2 4; do
                    measure "rows-strict-steps$steps-w$window" "$OUT/strict" "$FEW" "$SESSIONS" \
                        --verify rows --window "$window" --steps "$steps"
                done
            done
            ;;
        cheap) fine_tune cheap cheap 0,1,0; rows cheap "$OUT/cheap" ;;
        plain) fine_tune plain cheap 1,0,0; rows plain "$OUT/plain" ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
done
shopt -s nullglob
files=("$OUT"/{packe[d],rows-*}.json) # a pattern, too, so that nothing stands for a run that was not made
((${#files[@]} < 2)) || "$PY" -m fef report "${files[@]}" --out "$OUT/rows-law.md"
