#!/usr/bin/env bash
# What some methods learn of a network: a dependency head (demask), an order-causal layer (ssmd), a joint layer (adjust), an
# information profile (schedule), an unmasking policy (policy), and low-rank factors that make it surer of its own answers
# (dparallel, a directory; dparallel-merged: the network with them).
# A part that is there already is skipped. The names of the files are those that LAYERS of tests/real_language.sh takes.
#
# INIT: the network, a name or a directory. DATA: JSON lines of prompts and responses, which are made of the task files in FILES
# where they are not there; without either TASKS, families of generated problems with their shares, from which policy learns
# always. OUT: where the parts go. PY: the python. PARTS: some of the names, for several processes beside each other (PARTS=" "
# makes DATA alone). STEPS, BATCH, CANVAS: of training. POLICY_STEPS, POLICY_BATCH: of the policy, in answers. STATES, FIT_STEPS:
# of demask. TEXTS: of the profile. COUNT: own answers for dparallel; LORA_RANK, LORA_LR: of its factors. MORE: further options,
# such as --device cuda. seconds.txt in OUT says what each took.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} INIT=${INIT:-smol} DATA=${DATA:-} FILES=${FILES:-} TASKS=${TASKS:-word-problems:1} OUT=${OUT:-runs/parts}
PARTS=${PARTS:-demask ssmd adjust schedule policy dparallel} STEPS=${STEPS:-500} BATCH=${BATCH:-32} CANVAS=${CANVAS:-192}
POLICY_STEPS=${POLICY_STEPS:-100} POLICY_BATCH=${POLICY_BATCH:-64} STATES=${STATES:-1280} FIT_STEPS=${FIT_STEPS:-600}
TEXTS=${TEXTS:-128} COUNT=${COUNT:-4000} LORA_RANK=${LORA_RANK:-32} LORA_LR=${LORA_LR:-2e-4} MORE=${MORE:-}
mkdir -p "$OUT"

timed() { # name, command
    local began=$SECONDS
    if "${@:2}"; then echo "$1: $((SECONDS - began)) s" | tee -a "$OUT/seconds.txt"; else echo "$1 failed"; fi
}

# in a directory of its own, which training may go on in; then its file comes to the others
layer() { # part, more arguments
    "$PY" -m fef train --objective "$1" --init "$INIT" --out "$OUT/making-$1" --json "${@:2}" $MORE &&
        mv "$OUT/making-$1/$1.safetensors" "$OUT/" && rm -r "$OUT/making-$1"
}

# answers at temperature 0, which one token per pass would give, too
certain() {
    local own=$OUT/own-answers.jsonl
    [[ -s $own ]] || timed own-answers "$PY" -m fef.corpus.own --model "$INIT" "${prompts[@]}" --count "$COUNT" --temperatures 0 \
        --words --max-new-tokens "$CANVAS" --max-batch 256 --out "$own" $MORE
    [[ -s $own ]] || return 1
    "$PY" -m fef train --objective dparallel --init "$INIT" --lora "$LORA_RANK" --lora-lr "$LORA_LR" --data "$own" --drop-long \
        --out "$OUT/dparallel" --steps "$STEPS" --batch-size "$BATCH" --warmup $((STEPS / 10)) --canvas-length "$CANVAS" \
        --max-prompt 256 --no-compile --log-every 20 --json $MORE && rm -r "$OUT/dparallel/resume" &&
        "$PY" -m fef export --model "$INIT" --adapter "$OUT/dparallel" --out "$OUT/dparallel-merged"
}

if [[ -n $FILES && ! -s ${DATA:=$OUT/corpus.jsonl} ]]; then
    timed corpus "$PY" -m fef.corpus --data "$FILES" --out "$DATA" --count 40000 --seed 9
fi
prompts=(--tasks "$TASKS") texts=(--tasks "${TASKS%%:*}") # a profile is of one family
[[ -z $DATA ]] || prompts=(--data "$DATA") texts=(--data "$DATA")
examples=("${prompts[@]}" --count 20000 --canvas-length "$CANVAS" --max-prompt 256)
for part in $PARTS; do
    [[ -s $OUT/$part.safetensors || -s $OUT/$part.json || -d $OUT/$part-merged ]] && continue
    case $part in
        demask) timed demask "$PY" -m fef train-demask --model "$INIT" "${examples[@]}" --out "$OUT/demask.safetensors" \
            --states "$STATES" --steps "$FIT_STEPS" $MORE ;;
        ssmd | adjust) timed "$part" layer "$part" --steps "$STEPS" --batch-size "$BATCH" --adam-lr 1e-3 "${examples[@]}" ;;
        schedule) timed schedule "$PY" -m fef profile "$INIT" --out "$OUT/schedule.json" "${texts[@]}" --n "$TEXTS" \
            --max-new-tokens "$CANVAS" --drop-long --batch-size "$BATCH" $MORE ;;
        policy) timed policy layer policy --steps "$POLICY_STEPS" --batch-size "$POLICY_BATCH" --tasks "$TASKS" \
            --canvas-length $((CANVAS < 96 ? CANVAS : 96)) ;;
        dparallel) timed dparallel certain ;;
        *) echo "unknown part: $part" && exit 2 ;;
    esac
done
