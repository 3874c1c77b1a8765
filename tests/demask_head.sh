#!/usr/bin/env bash
# The dependency head of DEMASK (2604.02560) and the information profile of DualDiffusion's schedules for a network of real
# language: trained and measured on conversations of the kind of its training, then GSM8K by both, beside fef and low-confidence. A run whose
# file is there already is skipped, so the same command goes on where it was stopped.
#
# INIT: the network, a name or a directory (of a delta, too). DATA: the task files. CORPUS: the conversations, JSONL; made if
# there are none. OUT: everything that is made. PY: the python. COUNT: conversations made. STATES, STEPS: of the head; TEXTS: of
# the profile. HELD_OUT: states of the report. BLOCK: block length of demask and schedule; empty: the whole canvas. LIMIT: problems. SESSIONS: prompts at once. CANVAS: tokens of an answer.
# What to keep of OUT: demask.safetensors, profile.json, *.json, demask-head.md, times.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-data} OUT=${OUT:-runs/demask-head} CORPUS=${CORPUS:-${OUT:-runs/demask-head}/corpus.jsonl}
COUNT=${COUNT:-8000} STATES=${STATES:-6000} STEPS=${STEPS:-3000} FIT=${FIT:-128} TEXTS=${TEXTS:-400} HELD_OUT=${HELD_OUT:-100} SLOTS=${SLOTS:-64}
LIMIT=${LIMIT:-384} SESSIONS=${SESSIONS:-128} CANVAS=${CANVAS:-192} MAX_PROMPT=${MAX_PROMPT:-256} MORE=${MORE:-}
BLOCK=${BLOCK:-} blocks=${BLOCK:+-block$BLOCK}
RUNS=${RUNS:-head report profile demask schedule fef low2}
mkdir -p "$OUT"

timed() { # name, command
    local began=$SECONDS
    "${@:2}" || echo "$1 failed"
    echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/times.txt"
}

measure() { # name, more arguments
    local file=$OUT/gsm8k-$1.json
    [[ -s $file ]] && return
    # shellcheck disable=SC2086
    timed "$1" "$PY" -m fef eval gsm8k --model "$INIT" --data "$DATA" --max-new-tokens "$CANVAS" --temperature 0 --engine \
        --dtype "${DTYPE:-bfloat16}" --limit "$LIMIT" --batch-size "$SESSIONS" --save "$file" "${@:2}" $MORE
}

head=$OUT/demask.safetensors profile=$OUT/profile.json
sizes=(--data "$CORPUS" --canvas-length "$CANVAS" --max-prompt "$MAX_PROMPT")
[[ -s $CORPUS ]] || timed corpus "$PY" -m fef.corpus --data "$DATA" --out "$CORPUS" --count "$COUNT" --seed 9
for run in $RUNS; do
    # shellcheck disable=SC2086
    case $run in
        head)
            [[ -s $head ]] || timed head "$PY" -m fef train-demask --model "$INIT" --out "$head" "${sizes[@]}" \
                --states "$STATES" --slots "$SLOTS" --steps "$STEPS" --batch-size "$FIT" $MORE
            ;;
        report)
            [[ -s $OUT/report.json ]] || timed report "$PY" -m fef demask-report --model "$INIT" --head "$head" "${sizes[@]}" \
                --states "$HELD_OUT" --slots 8 --values 4 --json "$OUT/report.json" $MORE
            ;;
        profile)
            [[ -s $profile ]] || timed profile "$PY" -m fef profile "$INIT" --out "$profile" --data "$CORPUS" --n "$TEXTS" \
                --max-new-tokens "$CANVAS" --drop-long --batch-size 32 $MORE
            ;;
        demask) for tau in 0.03 0.1 0.3; do measure "demask-$tau$blocks" --method demask --set "head=$head" --set "tau=$tau" ${BLOCK:+--set "block_length=$BLOCK"}; done ;;
        schedule)
            for steps in $((CANVAS / 8)) $((CANVAS / 4)) $((CANVAS / 2)); do
                measure "schedule-$steps$blocks" --method schedule --set "profile=$profile" --set "steps=$steps" ${BLOCK:+--set "block_length=$BLOCK"}
            done
            ;;
        fef) measure fef --method fef --verify packed --window 16 ;;
        low2) measure low2 --method low-confidence --set block_length=32 --set tokens_per_step=2 ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
done
shopt -s nullglob
files=("$OUT"/gsm8k-*.json)
((${#files[@]} < 2)) || "$PY" -m fef report "${files[@]}" --out "$OUT/demask-head.md"
