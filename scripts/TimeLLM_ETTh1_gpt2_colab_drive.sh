#!/usr/bin/env bash
# Time-LLM on ETTh1 with GPT-2, checkpoints on Google Drive: start it, and start it again after a disconnect.
# Stop it with Ctrl-C, a notebook's stop button or kill, once or more often: it saves first.
# Every variable below can be set from the environment; further words go to `timellm train`:
#   BATCH=16 bash scripts/TimeLLM_ETTh1_gpt2_colab_drive.sh --save_minutes 20
# RESUME_FROM: auto (the newest checkpoint that fits, else a fresh start), none, a checkpoint's folder, or a file.
#
# What may change from one start to the next, made from timellm.config by tools/build.py script:
# <table>
#   may change     setting: what it means
#   no             data, features, target, percent, prompt, description, seq_len, label_len, pred_len, patch_len, stride,
#                  d_model, d_ff, n_heads, dropout, head_dropout, prototypes, residual, llm_layers, llm_init,
#                  backbone_dropout, seed, loss, lradj, weight_decay, val_per_epoch, eval_stride, min_delta: what the run
#                  is; so are the content of the data and the backbone's weights (by SHA-256)
#   not by step    batch_size, train_epochs, pct_start, warmup, learning_rate: TST and warmup_cosine are one curve over all
#                  steps of the run: its length and height (batch_size: of all processes together)
#   yes            batch_size: the epoch goes on after the windows it has used; epochs have another number of steps, the
#                  result is not bit-equal
#   yes            train_epochs, patience: a finished run goes on, a running one ends sooner
#   yes            learning_rate: the schedule goes on where it is, from the new first rate
#   yes            save_steps, save_minutes, save_total_limit, max_hours: when to save, how many to keep, when to stop
#   yes            eval_batch_size, num_workers, pct_start, warmup: speed and memory only (pct_start, warmup: of the
#                  schedules by step only)
#   yes            test_every: how often the test split is measured; it decides nothing
#   yes            log_with: where the rows of metrics.csv are sent besides
#   yes            precision, backbone_dtype, device_map: the last digits (backbone_dtype: not to or from 8bit and 4bit)
#   yes            project_dir, root_path, data_path, id_column, date_column, date_format, timezone, resample, llm_path,
#                  llm_model: where things lie and how they are read; data and backbone must have the same content
#   yes            task_name, model_id, des, itr, e_layers, d_layers, factor, embed, model_comment: the folder's name only:
#                  a path reads the old folder, the new one is written
#   yes            resume_from_checkpoint, resume_weights: where to begin
# </table>
set -euo pipefail

PRESET=${PRESET:-etth1_gpt2_colab}
[ "$PRESET" != custom ] || {
    echo "PRESET=custom: the sizes here are GPT-2's for ETTh1. For your own CSV: timellm run --preset custom --data_path my.csv" >&2
    exit 2
}
PROJECT_DIR=${PROJECT_DIR:-/content/drive/MyDrive/T-L-GPT2}
LLM_PATH=${LLM_PATH-base_models/openai-community/gpt2}   # below PROJECT_DIR; not there: from the Hugging Face hub
BATCH=${BATCH:-32}
D_MODEL=${D_MODEL:-64}
D_FF=${D_FF:-128}
SEQ_LEN=${SEQ_LEN:-512}
TRAIN_EPOCHS=${TRAIN_EPOCHS:-30}
PATIENCE=${PATIENCE:-2}
SAVE_STEPS=${SAVE_STEPS:-3000}
SAVE_TOTAL_LIMIT=${SAVE_TOTAL_LIMIT:-1}
RESUME_FROM=${RESUME_FROM:-auto}
NUM_WORKERS=${NUM_WORKERS:-10}   # kept for older scripts: there is nothing to wait for

export PYTHONUNBUFFERED=1                                                      # lines come through the pipe at once
export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}      # less memory lost to gaps between blocks

LOGS=$PROJECT_DIR/logs
[ -d "$(dirname "$PROJECT_DIR")" ] || LOGS=logs   # Drive is not mounted: nothing is made in its place, timellm says so
mkdir -p "$LOGS"
LOG=$LOGS/TimeLLM_ETTh1_${NAME:-gpt2}_$(date +%Y%m%d_%H%M%S).log   # Drive may have it at its end only, log.txt at each save

# Training and tee are a job in a process group of its own, so Ctrl-C, a notebook's stop button and kill reach this shell.
# It hands each on as SIGTERM, on which timellm saves and which may come twice. The exit code is the training's.
set -m
{
    for v in PRESET PROJECT_DIR LLM_PATH BATCH D_MODEL D_FF SEQ_LEN TRAIN_EPOCHS PATIENCE SAVE_STEPS SAVE_TOTAL_LIMIT RESUME_FROM NUM_WORKERS PYTORCH_ALLOC_CONF; do
        echo "$v=${!v}"
    done
    exec timellm train --preset "$PRESET" --project_dir "$PROJECT_DIR" --llm_path "$LLM_PATH" --batch_size "$BATCH" --d_model "$D_MODEL" --d_ff "$D_FF" \
        --seq_len "$SEQ_LEN" --train_epochs "$TRAIN_EPOCHS" --patience "$PATIENCE" --save_steps "$SAVE_STEPS" --save_total_limit "$SAVE_TOTAL_LIMIT" \
        --resume_from_checkpoint "$RESUME_FROM" --num_workers "$NUM_WORKERS" "$@"
} </dev/null 2>&1 | { tee -i "$LOG" || true; } &
training=$(jobs -p)
set +m   # bash says nothing of its own about the job
trap 'kill -TERM "$training" 2>/dev/null || true' INT TERM HUP
while
    code=0
    wait "$training" || code=$?   # a signal ends the wait, not the training
    kill -0 "$training" 2>/dev/null
do :; done
wait   # for tee
exit "$code"
