#!/usr/bin/env bash
# What methods learn of a network, then every method on GSM8K, over the GPUs of one machine: tests/trained_parts.sh and
# tests/real_language.sh, each part and each method in a process of its own. EACH processes share a GPU, since decoding by a
# small network waits for the host most of the time; whichever is free takes the next job. The same command goes on where it was
# stopped. Logs are in OUT/logs.
#
# RUNS: some of parts, methods, certain, texts (passes, speed and likelihood beside the causal model), page. GPUS: how many. INIT: the network. DATA: the task files. OUT: everything that is
# made; FEW, SESSIONS: as in tests/real_language.sh; BESIDE: texts per method in texts.
set -euo pipefail
cd "$(dirname "$0")/.."
GPUS=${GPUS:-4} EACH=${EACH:-2} INIT=${INIT:-smol} DATA=${DATA:-data} OUT=${OUT:-runs/methods} RUNS=${RUNS:-parts methods certain page}
export GPUS DATA OUT PY=${PY:-python3} FEW=${FEW:-200} SESSIONS=${SESSIONS:-100} LAYERS=$OUT/parts SMOL=$INIT
export INIT CERTAIN=$OUT/parts/dparallel-merged OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} OMP_WAIT_POLICY=PASSIVE
mkdir -p "$OUT/parts" "$OUT/logs"

# longest first
parts=(dparallel policy demask ssmd adjust schedule)
methods=(dual freedave delayed-cache ssd
    low-confidence random maskgit-plus topk-margin entropy
    origin remdm dcd deer apd apd-exact
    wino saber klass entropy-bounded threshold factor
    schedule sequential adjust dual-exact policy
    eso eso-exact ssmd demask fef)

train() { FILES=$DATA OUT=$OUT/parts DATA='' PARTS=$1 bash tests/trained_parts.sh; }
part() { train "$1"; }
method() { METHODS=$1 RUNS=methods bash tests/real_language.sh; }
certain() { RUNS=certain-$1 METHODS=none bash tests/real_language.sh; }
texts() { # of which kind; one JSON line a method in OUT/texts
    local methods temperature=1 blocks=block_length=32,order=blocks
    case $1 in
        greedy) temperature=0 methods=(deer deer:window=8 apd apd:share=0.8 apd-exact fef sequential:verify=packed) ;;
        ssmd) methods=(sequential ssmd:order=left-to-right,window={2,3,4,8} sequential:$blocks ssmd:$blocks,window=4
            low=random:block_length=32,tokens_per_step=2) ;;
        joint) methods=(entropy:block_length=32,tokens_per_step={1,2,4,8} adjust:block_length=32,tokens={2,4,8} dcd:steps={1,2} deer) ;;
    esac
    "$PY" -m fef.bench.beside_causal --model "$INIT" --prompts "$OUT/texts/prompts.jsonl" --layers "$OUT/parts" \
        --temperature $temperature --scored $((16 * temperature)) --n "${BESIDE:-64}" --max-new-tokens "${CANVAS:-128}" \
        --methods "${methods[@]}" | tee "$OUT/texts/$1.jsonl"
}
job() { # which of the above, of what; on the GPU of the free place
    CUDA_VISIBLE_DEVICES=$((PLACE % GPUS)) "$1" "$2" >>"$OUT/logs/$1-$2.log" 2>&1 || echo "$1 $2: failed"
}
export -f train part method certain texts job

shared() { # which, of what each
    printf '%s\n' "${@:2}" | xargs -P $((GPUS * EACH)) --process-slot-var=PLACE -I{} bash -euo pipefail -c 'job "$@"' job "$1" {}
}

for run in $RUNS; do
    began=$SECONDS
    case $run in
        parts)
            train " " # the examples, which all parts read
            shared part "${parts[@]}"
            ;;
        methods) MOST=1 shared method "${methods[@]}" && shared method "${methods[@]}" ;; # first all at their first setting
        certain) shared certain before after ;;
        texts)
            mkdir -p "$OUT/texts"
            "$PY" -m fef eval gsm8k --data "$DATA" --prompts "$OUT/texts/prompts.jsonl"
            shared texts ssmd joint greedy
            ;;
        page) RUNS=none bash tests/real_language.sh ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
    echo "$run: $((SECONDS - began)) s" | tee -a "$OUT/seconds.txt"
done
