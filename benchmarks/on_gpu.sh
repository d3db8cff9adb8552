#!/usr/bin/env bash
# What only a machine with a GPU can measure, in one go: bash benchmarks/on_gpu.sh OUT [ROWS]
# Writes select-<model>.json (`feature_selection.py --of`), serving_gpu.json (`serving_gpu.py --page`) and tests.log into OUT.
# Each part is independent of the others, and what has ended is there whatever comes after. Kernels must be built:
# python3 setup.py --quiet build_ext --inplace --host
set -u
out=$(realpath "$1") rows=${2:-1150000}
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 EASYREC_DEVICE=cuda
commit=${COMMIT:-$(git rev-parse --short HEAD)}
threads=$(( ($(nproc) + 1) / 2 ))
selected() {
  OMP_NUM_THREADS=$threads python3 benchmarks/feature_selection.py --rows "$rows" --models "$1" --commit "$commit" \
    --out "$out/select-$1.json" > "$out/select-$1.log" 2>&1
  tail -8 "$out/select-$1.log"
}
python3 benchmarks/feature_selection.py --rows "$rows" --make || exit 1
selected deepfm & selected backbone &
wait
echo "selected after $SECONDS s"
python3 benchmarks/serving_gpu.py --runs 2 --seconds 0.3 --out "$out/serving_gpu.json"
echo "served after $SECONDS s"
OMP_NUM_THREADS=1 timeout 240 python3 -m pytest -q -p no:cacheprovider -n "$(nproc)" \
  tests/serving/gpu tests/embedding/test_on_device.py tests/embedding/test_served_on_device.py tests/train/test_device.py \
  tests/tune/select/test_activations.py > "$out/tests.log" 2>&1
tail -30 "$out/tests.log"
