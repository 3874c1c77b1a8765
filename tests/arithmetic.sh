#!/usr/bin/env bash
# `fef verify`, on the engine too, its self-test and the tests, under each arithmetic that a machine offers: other threads
# and instruction sets sum in another order. Exits with 1 if anything failed anywhere.
#
# PY: the python that runs them. WORKERS: test processes. CHECKS: some of "verify verify-engine self-test tests". ONLY: one
# environment.
set -uo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} TOKENIZERS_PARALLELISM=${TOKENIZERS_PARALLELISM:-false}

ENVIRONMENTS=(
    plain
    OMP_NUM_THREADS=1
    OMP_NUM_THREADS=2
    ATEN_CPU_CAPABILITY=default
    ATEN_CPU_CAPABILITY=avx2
    ONEDNN_MAX_CPU_ISA=AVX2
)
[[ -z ${ONLY:-} ]] || ENVIRONMENTS=("$ONLY")
read -ra checks <<<"${CHECKS:-verify verify-engine self-test tests}"
"$PY" -c 'import xdist' 2>/dev/null && workers=(-n "${WORKERS:-2}") || workers=()

run() {
    case $1 in
        verify) "$PY" -m fef verify ;;
        verify-engine) "$PY" -m fef verify --engine ;;
        self-test) "$PY" -m fef verify --self-test ;;
        tests) "$PY" -m pytest "${workers[@]}" ;;
        *) echo "unknown check: $1" && return 2 ;;
    esac
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary=() failed=0
for environment in "${ENVIRONMENTS[@]}"; do
    for check in "${checks[@]}"; do
        began=$SECONDS
        if (
            unset OMP_NUM_THREADS ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA
            [[ $environment == plain ]] || export "${environment?}"
            run "$check"
        ) >"$log" 2>&1; then result=passed; else
            result=FAILED failed=1
            tail -n 60 "$log"
        fi
        summary+=("$(printf '%-28s %-14s %-7s %5d s' "$environment" "$check" "$result" $((SECONDS - began)))")
        echo "${summary[-1]}"
    done
done
printf '\nAll of them:\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
