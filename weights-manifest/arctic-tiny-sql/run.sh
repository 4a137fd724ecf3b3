#!/bin/sh
# Makes the model from nothing, or goes on where it stopped: data, tokenizer, training, export.
#
#     run.sh WORK [options of train.py]
#
# Needs bun, and a python3 with torch and sentencepiece (PYTHON names another one; it sees WORK under
# the same path). Everything lands in WORK; the checkpoint in Hugging Face's form in WORK/exported.
set -eu
work=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
bun=${BUN:-"$here/../../node_modules/.bin/bun"}
python=${PYTHON:-python3}
mkdir -p "$work/data"

make() { # FILE OPTIONS…: one data file, never half written
  file=$1
  shift
  [ -f "$file" ] && return
  "$bun" "$here/make-data.ts" "$@" > "$file.partial"
  mv "$file.partial" "$file"
}

make "$work/tokenizer.jsonl" --seed tokenizer --cases 12000 --level 2
make "$work/evaluation-seen.jsonl" --seed held --cases 1000 --split seen --evaluation
make "$work/evaluation-unseen.jsonl" --seed held --cases 1000 --split unseen --evaluation
make "$work/data/00-level0.jsonl" --seed a0 --cases 6000 --level 0
make "$work/data/01-level1.jsonl" --seed a1 --cases 8000 --level 1
for i in 02 03 04 05 06 07 08 09 10 11 12 13 14 15; do
  make "$work/data/$i-level2.jsonl" --seed "a$i" --cases 16000 --level 2
done
[ -f "$work/tokenizer/tokenizer_config.json" ] || "$python" "$here/train_tokenizer.py" "$work/tokenizer.jsonl" "$work/tokenizer"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$python" "$here/train.py" "$work" --max-steps "${STEPS:-2853}" "$@"
# The learning rate falls to zero over the last steps, in which half of the rows are conversations.
mkdir -p "$work/final"
cp -n "$work"/main/*.csv "$work/final/"
"$python" "$here/train.py" "$work" --name final --from main --decay-steps 1500 --conversations 0.5
"$python" "$here/export.py" "$work" "$work/exported" --name final
"$python" "$here/plot.py" "$work/final" "$work/exported/training.svg"
