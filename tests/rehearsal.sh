#!/usr/bin/env bash
# The whole way of a fine-tune, on a checkpoint of random weights in the layout in which LLaDA-8B is released: written, trained
# with low-rank factors and the packed objective, saved, resumed in fresh processes, and decoded by the engine with its adapter.
# Every part is a command as a user gives it; JSON lines say what it said, its seconds, and the most host memory that one of its
# processes held.
#
# SHAPE: 8b, 1b, or tiny, which takes a minute with DEVICE=cpu. GPUS: processes that train. RESUMED: that go on. STEPS: of
# training, in two halves. OUT: everything that is written; a checkpoint that is there stays. PY: the python.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3} SHAPE=${SHAPE:-8b} GPUS=${GPUS:-1} STEPS=${STEPS:-20} OUT=${OUT:-runs/rehearsal} DEVICE=${DEVICE:-cuda}
RESUMED=${RESUMED:-$GPUS} TUNED=$OUT/tuned-on-$GPUS
canvas=512 row=4096 batch=8192 tokens=64
[[ $SHAPE != tiny ]] || canvas=24 row=256 batch=512 tokens=8

part() { # name, command
    "$PY" -c '
import json, resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.run(sys.argv[2:]).returncode
held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(json.dumps({"part": sys.argv[1], "seconds": time.monotonic() - began, "host_gib": held}))
sys.exit(code)' "$@"
}

train() { # processes, steps
    local start=("$PY")
    [[ $1 == 1 ]] || start+=(-m torch.distributed.run --standalone --nproc-per-node "$1")
    part "train on $1" "${start[@]}" -m fef train --init "$OUT/checkpoint" --data "$OUT/chats.jsonl" --out "$TUNED" --steps "$2" \
        --lora 16 --packed --recompute --warmup 2 --canvas-length $canvas --max-prompt 64 --row-tokens $row --batch-tokens $batch \
        --device "$DEVICE" --log-every 1 --json
    tail -n 1 "$TUNED/losses.jsonl" # with rates, and the memory of a GPU
}

decode='
import json, sys, torch, fef
checkpoint, adapter, device, tokens = sys.argv[1:]
model = fef.load(checkpoint, device=device, adapter=adapter)
engine, asked = model.engine(max_batch=4, max_length=256, windows=(8,)), {"max_new_tokens": int(tokens), "temperature": 1.0}
prompts = ["abc", "Say it again.", "12 + 30", "x"]
answers = [job.result() for job in [engine.submit(prompt, seed=i, **asked) for i, prompt in enumerate(prompts)]]
facts = {"tokens": sum(a.stats["committed"] for a in answers), "rounds": sum(a.stats["rounds"] for a in answers)}
same = model.generate(prompts[0], seed=0, **asked).text == answers[0].text
facts |= {"law": answers[0].certificate.law, "same_text_in_the_loop": same}
gpu = {"gpu_gib": torch.cuda.max_memory_allocated() / 2**30} if device == "cuda" else {}
print(json.dumps(facts | gpu))'

rm -rf "$TUNED"
mkdir -p "$OUT"
[[ -d $OUT/checkpoint ]] ||
    part write "$PY" tools/released_layout.py --shape "$SHAPE" --out "$OUT/checkpoint" --device "$DEVICE"
# answers that fill a half of the canvas to all of it; a letter is a token
"$PY" -c '
import json, sys
canvas = int(sys.argv[1])
for i in range(128):
    letters = (chr(97 + i % 26) + chr(97 + i // 26) + " ") * canvas
    print(json.dumps({"prompt": f"say {i}", "response": letters[: canvas // 2 + i * (canvas // 2 - 4) // 128].rstrip()}))
' $canvas >"$OUT/chats.jsonl"
train "$GPUS" $((STEPS / 2))
train "$RESUMED" "$STEPS"
part decode "$PY" -c "$decode" "$OUT/checkpoint" "$TUNED" "$DEVICE" $tokens
