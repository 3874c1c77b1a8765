#!/usr/bin/env bash
# GSM8K, SVAMP and MBPP by a checkpoint of real language and its causal control: one small result file a run, and a page.
# A run whose file is there already is skipped, so the same command goes on where it was stopped.
#
# SMOL: the checkpoint, a directory or a name. CAUSAL: the causal control, a directory, SIBLING: a block-causal one; none is
# skipped. DATA: the task files. DIALOGUES: held-out conversations, for RUNS=likelihood.
# OUT: the results. PY: the python. CANVAS: tokens of an answer. LIMIT, FEW, SAME: problems of runs in packed rounds, in
# sessions, and of those that must give the same answers. BATCH, SESSIONS: prompts at once in packed rounds, and in sessions.
# DTYPE: of the weights. RUNS: some of the names below.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} SMOL=${SMOL:-smol} DATA=${DATA:-data} OUT=${OUT:-runs/real-language}
CANVAS=${CANVAS:-192} LIMIT=${LIMIT:-100000} FEW=${FEW:-384} SAME=${SAME:-200} BATCH=${BATCH:-512} SESSIONS=${SESSIONS:-128}
RUNS=${RUNS:-gsm8k svamp causal low2 low1 low4 threshold mbpp exact blocks}
mkdir -p "$OUT"

measure() { # file, task, more arguments
    local file=$OUT/$1.json
    [[ -s $file ]] && return
    echo "$1: $(date +%T)"
    "$PY" -m fef eval "$2" --model "$SMOL" --data "$DATA" --max-new-tokens "$CANVAS" --temperature 0 --engine \
        --allow-weak-sandbox --save "$file" "${@:3}" || echo "$1 failed"
}

# in sessions; 32 positions a block
blocks() { measure "$1" gsm8k --limit "$FEW" --batch-size "$SESSIONS" --set block_length=32 "${@:2}"; }

causal() { # task
    local file=$OUT/$1-causal.json work
    [[ -n ${CAUSAL:-} && ! -s $file ]] || return 0
    echo "$1-causal: $(date +%T)"
    work=$(mktemp -d)
    "$PY" -m fef eval "$1" --data "$DATA" --limit "$LIMIT" --prompts "$work/prompts.jsonl" &&
        "$PY" -m fef.corpus.answer --from "$CAUSAL" --data "$work/prompts.jsonl" --out "$work/answers.jsonl" \
            --max-new-tokens "$CANVAS" --temperature 0 --keep-cut --batch-size "$BATCH" &&
        "$PY" -m fef eval "$1" --model "$(basename "$CAUSAL")" --data "$DATA" --limit "$LIMIT" \
            --max-new-tokens "$CANVAS" --answers "$work/answers.jsonl" --save "$file" || echo "$1-causal failed"
    rm -r "$work"
}

# fef, in the engine and in the loop, and one token a pass: the same answers on the first problems
exact() { # temperature
    local same=(gsm8k --dtype float32 --verify packed --limit "$SAME" --temperature "$1")
    measure "exact-$1-fef" "${same[@]}" --batch-size "$BATCH" --window 16
    measure "exact-$1-sequential" "${same[@]}" --batch-size "$BATCH" --method sequential
    measure "exact-$1-loop" "${same[@]}" --batch-size "$SESSIONS" --window 16 --no-engine
}

likelihood() { # model, more arguments
    [[ -z ${DIALOGUES:-} ]] || "$PY" -m fef.eval.likelihood --model "$1" --data "$DIALOGUES" --max-new-tokens "$CANVAS" "${@:2}" \
        >>"$OUT/likelihood.jsonl" || echo "likelihood of $1 failed"
}

packed=(--limit "$LIMIT" --batch-size "$BATCH" --dtype "${DTYPE:-bfloat16}" --verify packed --window 16)
plain=(--dtype "${DTYPE:-bfloat16}")
for run in $RUNS; do
    case $run in
        gsm8k | svamp) measure "$run-fef" "$run" "${packed[@]}" ;;
        mbpp) measure mbpp-fef mbpp "${packed[@]}" --batch-size "$SESSIONS" ;; # prompts of up to 3,740 tokens: large slots
        causal) causal gsm8k; causal svamp ;;
        low1 | low2 | low4) blocks "gsm8k-$run" "${plain[@]}" --method low-confidence --set "tokens_per_step=${run#low}" ;;
        exact) exact 0; exact 0.7 ;;
        blocks) [[ -z ${SIBLING:-} ]] || SMOL=$SIBLING measure gsm8k-blocks gsm8k "${plain[@]}" --limit "$LIMIT" \
            --batch-size "$SESSIONS" --method fef --window 16 --set cache=prefix ;;
        likelihood) likelihood "$SMOL" --verify packed; likelihood "$SMOL" --verify rows; [[ -z ${CAUSAL:-} ]] || likelihood "$CAUSAL" ;;
        threshold) blocks gsm8k-threshold "${plain[@]}" --method threshold --set threshold=0.9 ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
done
page() { # name, title, files
    (($# < 3)) || "$PY" -m fef compare "${@:3}" --title "$2" --out "$OUT/$1.md"
}
shopt -s nullglob
# further runs of GSM8K stand beside these: of tests/rows_law.sh and tests/demask_head.sh with the same OUT
notes=docs/results/real-language-remarks.md
files=("$OUT"/{gsm8k,svamp,mbpp,rows}-*.json)
((${#files[@]} < 2)) || "$PY" -m fef compare "${files[@]}" --title "Real language" --notes "$notes" --out "$OUT/real-language.md"
for temperature in 0 0.7; do page "exact-$temperature" "The same answers" "$OUT/exact-$temperature"-*.json; done
