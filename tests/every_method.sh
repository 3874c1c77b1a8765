#!/usr/bin/env bash
# What methods learn of a network, then every method on GSM8K, shared out over the GPUs of one machine: tests/trained_parts.sh and
# tests/real_language.sh in one process per share. The same command goes on where it was stopped. Logs are in OUT.
#
# RUNS: some of parts, methods, certain (one share), page. GPUS: how many. INIT: the network. DATA: the task files. OUT: everything
# that is made; FEW, SESSIONS: as in tests/real_language.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
GPUS=${GPUS:-4} INIT=${INIT:-smol} DATA=${DATA:-data} OUT=${OUT:-runs/methods} RUNS=${RUNS:-parts methods certain page}
export PY=${PY:-python3} FEW=${FEW:-100} SESSIONS=${SESSIONS:-50} LAYERS=$OUT/parts SMOL=$INIT CERTAIN=$OUT/parts/dparallel-merged
mkdir -p "$OUT/parts"

parts=("demask schedule" "ssmd adjust" "policy" "dparallel")
methods=("fef sequential low-confidence threshold demask klass dcd ssmd"
    "adjust random entropy factor policy dual-exact deer eso-exact"
    "topk-margin maskgit-plus origin entropy-bounded schedule apd apd-exact"
    "delayed-cache freedave wino saber dual ssd remdm")

shared() { # name, command; share n of it on GPU n modulo GPUS, those of one GPU one after another
    local gpu share
    for ((gpu = 0; gpu < GPUS; gpu++)); do
        for ((share = gpu; share < 4; share += GPUS)); do
            CUDA_VISIBLE_DEVICES=$gpu "${@:2}" "$share" >>"$OUT/$1-$share.log" 2>&1 || echo "$1, share $share: failed"
        done &
    done
    wait
}

train() { INIT=$INIT FILES=$DATA OUT=$OUT/parts DATA='' PARTS=$1 bash tests/trained_parts.sh; }
parts() { train "${parts[$1]}"; }
methods() { METHODS=${methods[$1]} RUNS=methods OUT=$OUT DATA=$DATA bash tests/real_language.sh; }

for run in $RUNS; do
    began=$SECONDS
    case $run in
        parts)
            train " " # the examples, which all shares read
            shared parts parts
            ;;
        methods) MOST=1 shared methods methods && shared methods methods ;; # first all at their first setting
        certain) RUNS=certain METHODS=none OUT=$OUT DATA=$DATA bash tests/real_language.sh >>"$OUT/certain.log" 2>&1 ;;
        page) RUNS=none OUT=$OUT DATA=$DATA bash tests/real_language.sh ;;
        *) echo "unknown run: $run" && exit 2 ;;
    esac
    echo "$run: $((SECONDS - began)) s" | tee -a "$OUT/seconds.txt"
done
