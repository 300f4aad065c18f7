#!/usr/bin/env bash
# Time-LLM on ETTh1 with Llama 3 8B, checkpoints on Google Drive. It sets what differs and starts
# the package's TimeLLM_ETTh1_gpt2_colab_drive, which explains the other variables; each can be set from the environment.
#
# The model is gated: accept its licence at https://huggingface.co/meta-llama/Meta-Llama-3-8B and set HF_TOKEN,
# or put it into LLM_PATH below PROJECT_DIR:
#   hf download meta-llama/Meta-Llama-3-8B --local-dir /content/drive/MyDrive/T-L-LLAMA3/base_models/meta-llama/Meta-Llama-3-8B
#
# LLM_LAYERS      first layers that are used, of 32. A T4 (15.8 GB) holds 8 in fp16, with batches up to 32.
#                 All 32 fit only quantized:
#                   LLM_LAYERS=32 BACKBONE_DTYPE=8bit BATCH=4 bash scripts/TimeLLM_ETTh1_llama3_colab_drive.sh
# BACKBONE_DTYPE  auto (fp16 on a T4), 8bit or 4bit; the latter two need  pip install bitsandbytes
# LLM_DIM         not read: it follows from the model (4096)
# What a choice takes, before anything is loaded:
#   timellm train --plan --preset etth1_llama3_colab --llm_layers 32 --backbone_dtype 4bit
set -euo pipefail

export NAME=llama3   # of the log
export PRESET=${PRESET:-etth1_llama3_colab}
export PROJECT_DIR=${PROJECT_DIR:-/content/drive/MyDrive/T-L-LLAMA3}
export LLM_PATH=${LLM_PATH-base_models/meta-llama/Meta-Llama-3-8B}
export BATCH=${BATCH:-16}
LLM_LAYERS=${LLM_LAYERS:-8}
BACKBONE_DTYPE=${BACKBONE_DTYPE:-auto}

echo "LLM_LAYERS=$LLM_LAYERS"
echo "BACKBONE_DTYPE=$BACKBONE_DTYPE"
GPT2=$(timellm script TimeLLM_ETTh1_gpt2_colab_drive)
exec bash -c "$GPT2" "$0" --llm_layers "$LLM_LAYERS" --backbone_dtype "$BACKBONE_DTYPE" "$@"
