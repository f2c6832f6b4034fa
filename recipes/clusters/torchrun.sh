#!/usr/bin/env bash
# Trains on all GPUs of this machine, or of several machines, with torchrun. Adapt the first lines.
#
#   bash recipes/clusters/torchrun.sh                                                  one machine
#   NODES=2 HEAD=first-machine:29500 bash recipes/clusters/torchrun.sh                 the same line on each of two
#
# The batch of the recipe is the batch of one step over all GPUs: it must be a multiple of their number, and nothing in
# the recipe changes with that number. A stopped training goes on when the same line is given again, also on another
# number of GPUs. OUT must lie where all machines see it; the manifest and the images are read on the first one alone.
set -euo pipefail

RECIPE=${RECIPE:-recipes/cascade-paper.yaml}
DATA=${DATA:-data}
OUT=${OUT:-bundles/cascade}
# One process for each GPU; a number for a machine without any.
PER_NODE=${PER_NODE:-gpu}
NODES=${NODES:-1}
HEAD=${HEAD:-}

# Each process would take all cores for itself.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}

if [ "$NODES" -eq 1 ]; then
  meeting=(--standalone)
else
  meeting=(--nnodes "$NODES" --rdzv-backend c10d --rdzv-endpoint "$HEAD" --rdzv-id cxrscreen)
fi
exec torchrun "${meeting[@]}" --nproc-per-node "$PER_NODE" -m cxrscreen train "$RECIPE" --data "$DATA" --out "$OUT" "$@"
