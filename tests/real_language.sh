#!/usr/bin/env bash
# GSM8K, SVAMP and MBPP by a checkpoint of real language and its causal control: one small result file a run, and a page.
# A run whose file is there already is skipped, so the same command goes on where it was stopped.
#
# SMOL: the checkpoint, a directory or a name. CAUSAL: the causal control, a directory, SIBLING: a block-causal one; none is
# skipped. DATA: the task files. DIALOGUES: held-out conversations, for RUNS=likelihood.
# OUT: the results. PY: the python. CANVAS: tokens of an answer. LIMIT, FEW, SAME: problems of runs in packed rounds, in
# sessions, and of those that must give the same answers. BATCH, SESSIONS: prompts at once in packed rounds, and in sessions.
# DTYPE: of the weights. MORE: further options of `fef eval`, such as --device cuda. RUNS: some of the names below.
# RUNS=methods: every method of `fef methods` on the first FEW problems of GSM8K, at the settings of `method_settings`,
# and one picture of accuracy against passes. LAYERS: a directory of trained parts by their
# names; a method without its part is left out, and so is one that the checkpoint cannot run; OUT/methods/errors.txt says why.
# METHODS: some of the methods, for several processes beside each other (no page is made then; RUNS=none makes it). MOST: settings
# of a method, at most.
# RUNS="certain-before certain-after": one token per pass, `threshold`, and `fef` under the rows law, by SMOL and by CERTAIN, a network
# that was trained to be sure of its answers (tests/trained_parts.sh), on the first FEW problems.
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
        --allow-weak-sandbox --save "$file" "${@:3}" ${MORE:-} || echo "$1 failed"
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

# fef, in the engine and in the loop, and one token per pass: the same answers on the first problems
exact() { # temperature
    local same=(gsm8k --dtype float32 --verify packed --limit "$SAME" --temperature "$1")
    measure "exact-$1-fef" "${same[@]}" --batch-size "$BATCH" --window 16
    measure "exact-$1-sequential" "${same[@]}" --batch-size "$BATCH" --method sequential
    measure "exact-$1-loop" "${same[@]}" --batch-size "$SESSIONS" --window 16 --no-engine
}

likelihood() { # name, model, more arguments
    local file=$OUT/dialogues/$1.json
    [[ -n ${DIALOGUES:-} && ! -s $file ]] || return 0
    mkdir -p "$OUT/dialogues"
    "$PY" -m fef.eval.likelihood --model "$2" --data "$DIALOGUES" --max-new-tokens "$CANVAS" --save "$file" "${@:3}" ||
        echo "likelihood of $1 failed"
}

# every method at the settings below
each_method() {
    local name spec options file part
    for name in ${METHODS:-$("$PY" -c 'import fef; print(*fef.methods())')}; do
        for spec in $(method_settings "$name" | tr ' ' '\n' | head -n "${MOST:-9}"); do
            options=()
            for part in ${spec//,/ }; do [[ $part == default ]] || options+=(--set "$part"); done
            for part in "${LAYERS:-}/$name".{safetensors,json}; do
                [[ ! -f $part ]] || options+=(--set "$(part_option "$name")=$part")
            done
            file=methods/$name-${spec//[^a-z0-9.]/-}
            mkdir -p "$OUT/methods"
            timed "$file" measure "$file" gsm8k --limit "$FEW" --batch-size "$SESSIONS" --method "$name" "${plain[@]}" \
                "${options[@]}" 2> >(tee -a "$OUT/methods/errors.txt" >&2)
        done
    done
}

part_option() { case $1 in demask) echo head ;; ssmd | adjust) echo layer ;; policy) echo policy ;; schedule) echo profile ;; esac; }

timed() { # name, command
    local began=$SECONDS
    "${@:2}"
    echo "$1: $((SECONDS - began)) s" >>"$OUT/seconds.txt"
}

certain() { # name, network
    local SMOL=$2 file=certain/$1
    mkdir -p "$OUT/certain"
    blocks "$file-low1" "${plain[@]}" --method low-confidence --set tokens_per_step=1
    for threshold in 0.9 0.8; do blocks "$file-threshold-$threshold" "${plain[@]}" --method threshold --set "threshold=$threshold"; done
    measure "$file-fef" gsm8k --limit "$FEW" --batch-size "$((SESSIONS / 8 + 1))" "${plain[@]}" --method fef --verify rows --window 8
}

# networks like smol speak badly far from what is written, so methods that choose anywhere fill blocks of 32, too
method_settings() {
    case $1 in
        low-confidence | random | maskgit-plus | topk-margin | entropy | delayed-cache | freedave)
            echo block_length=32,tokens_per_step=1 block_length=32,tokens_per_step=2 block_length=32,tokens_per_step=4 default ;;
        origin | remdm) echo block_length=32,steps=32 block_length=32,steps=16 block_length=32,steps=8 steps=96 ;;
        schedule) echo block_length=32,steps=96 block_length=32,steps=48 steps=96 ;;
        threshold) echo default threshold=0.8 threshold=0.6 block_length=32,cache=dual ;;
        factor) echo default factor=0.5 factor=2 ;;
        entropy-bounded) echo default gamma=0.5 gamma=1 ;;
        demask) echo block_length=32 block_length=32,tau=0.3 default ;;
        klass | wino | saber | dual | ssd) echo block_length=32 default ;;
        policy) echo default policy_temperature=0 ;;
        fef) echo verify=packed verify=packed,window=8 verify=packed,window=32 ;;
        sequential) echo verify=packed verify=rows ;;
        adjust) echo block_length=32 block_length=32,tokens=2 block_length=32,tokens=8 default ;;
        ssmd) echo order=left-to-right block_length=32,order=blocks default ;;
        apd) echo default share=0.8 ;;
        eso) echo default share=0.5 ;;
        dcd) echo steps=1 steps=2 ;;
        *) echo default ;;
    esac
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
        likelihood) likelihood 1-base "$SMOL" --base; likelihood 2-packed "$SMOL" --verify packed
            likelihood 3-rows "$SMOL" --verify rows; [[ -z ${CAUSAL:-} ]] || likelihood 4-causal "$CAUSAL" ;;
        threshold) blocks gsm8k-threshold "${plain[@]}" --method threshold --set threshold=0.9 ;;
        methods) each_method ;;
        certain-before) certain before "$SMOL" ;;
        certain-after) certain after "$CERTAIN" ;;
        none) ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
done
page() { # name, files
    local notes=docs/results/$1-remarks.md
    [[ -f $notes ]] && notes=(--notes "$notes") || notes=()
    (($# < 3)) || "$PY" -m fef report "${@:2}" --out "$OUT/$1.md" "${notes[@]}"
}
shopt -s nullglob
# further runs of GSM8K stand beside these: of tests/rows_law.sh and tests/demask_head.sh with the same OUT
page real-language "$OUT"/{gsm8k,svamp,mbpp,rows}-*.json
[[ -n ${METHODS:-} ]] || page every-method "$OUT"/methods/*.json
page surer-of-its-own-answers "$OUT"/certain/*.json
page dialogues "$OUT"/dialogues/*.json
for temperature in 0 0.7; do page "exact-$temperature" "$OUT/exact-$temperature"-*.json; done
