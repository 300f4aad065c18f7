#!/usr/bin/env python3
"""Seconds and peak memory of a training and an evaluation step, in one run: python benchmarks/step.py --tokenizer FOLDER

GPT-2 with 12 layers (random weights: the time does not depend on them), windows of 512, horizon 96, prompts of about 125 and 230 tokens.
published  the published arithmetic: filled-up prompt and patches through all layers with gradient, eager attention, gelu_new, the model's
           dropout, the mapping layer on transposed embeddings (also in each evaluation step), Adam as torch chooses it
plain      timellm's plain full pass: the same positions, masked, fused activation and attention
fast       timellm as it trains: common tokens once, own prompt without gradient, patches with gradient

Each figure comes from a process of its own, the best of its steps after one to warm up; the rounds go through all three in turn.
share: the rate of the least possible work (timellm.model.least_flops) as a part of this machine's matrix product rate, measured in each round.
"""
import argparse, json, resource, subprocess, sys, time

import psutil, torch
from torch.nn import functional as F
from transformers import AutoTokenizer, GPT2Config, GPT2Model

from timellm.backbone import Backbone
from timellm.config import make_config
from timellm.machine import least_flops, make_accelerator, matmul_rate
from timellm.model import TimeLLM, count_patches
from timellm.prompt import PAPER_DESCRIPTION, Prompter, instance_norm, prompt_texts

LONG = PAPER_DESCRIPTION + (' Operators size a transformer by the load that it is going to carry, and the oil inside it tells how hard it works: '
    'when the load stays high in warm weather the oil heats up, and a transformer that overheats ages fast or fails. This table holds two years of '
    'readings from one station in a county of China, one row an hour, with six kinds of load (high, middle and low, useful and useless) and the '
    'temperature of the oil. Loads follow the day and the week, rise in winter, and shift when the station is switched to serve other streets.')

def published(model, x, texts, tokenizer):
    "A forecast by the published arithmetic, with the weights of `model`"
    b, (z, mean, std) = model.backbone, instance_norm(x)
    ids = tokenizer(texts, return_tensors='pt', padding=True).input_ids.to(x.device)
    prototypes = model.mapping_layer(b.embeddings.permute(1, 0)).permute(1, 0)
    patches = model.reprogramming_layer(model.patch_embedding(z), prototypes)
    words = b.model.get_input_embeddings()(ids)
    h = b.model(inputs_embeds=torch.cat([words, patches], 1), use_cache=False).last_hidden_state[:, -patches.shape[1]:, :model.d_ff]
    return model.output_projection(h)*std + mean

def one_case(path, batch, tokens, mode, tokenizer, steps):
    "Times of a path in this process"
    cfg = make_config('etth1_gpt2_colab', batch_size=batch, description='' if tokens == 125 else LONG)
    acc = make_accelerator(cfg)
    tok = AutoTokenizer.from_pretrained(tokenizer)
    tok.pad_token = tok.eos_token
    torch.manual_seed(0)
    gpt2 = GPT2Model(GPT2Config(n_layer=12, attn_implementation='eager' if path == 'published' else 'sdpa'))
    activation = gpt2.h[0].mlp.act
    model = TimeLLM(cfg, Backbone(gpt2, tok, 'GPT-2'))
    if path == 'published':
        for layer in gpt2.h: layer.mlp.act = activation   # gelu_new, which Backbone replaces
        model.backbone.dropout = True   # the frozen model's own dropout is active
    if path == 'plain': model.backbone.fast = False
    prompter, weights = Prompter(cfg, tok), [p for p in model.parameters() if p.requires_grad]
    model, optimizer = acc.prepare(model, torch.optim.Adam(weights, 4e-4, fused=None if path == 'published' else True))
    bare = acc.unwrap_model(model)
    model.train(mode == 'train')
    x, y = torch.randn(batch, cfg.seq_len).cumsum(1), torch.randn(batch, cfg.pred_len).to(acc.device)
    ids, mask = prompter(x)
    with torch.no_grad(), acc.autocast(): prototypes = bare.prototypes()
    def forecast():
        with acc.autocast():
            if path == 'published': return published(bare, x.to(acc.device), prompt_texts(x, cfg), tok)
            return bare(x.to(acc.device), *(t.to(acc.device) for t in prompter(x)), None if mode == 'train' else prototypes)
    times = []
    for _ in range(steps + 1):
        t = time.perf_counter()
        if mode == 'train':
            acc.backward(F.mse_loss(forecast(), y))
            optimizer.step()
            optimizer.zero_grad()
        else:
            with torch.no_grad(): forecast()
        if acc.device.type == 'cuda': torch.cuda.synchronize()
        times.append(time.perf_counter() - t)
    cuda = acc.device.type == 'cuda'
    memory = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024
    return dict(seconds=min(times[1:]), memory=memory/1e9, tokens=mask.sum(1).float().mean().item(), common=len(bare.backbone.common), patches=count_patches(cfg),
        device=torch.cuda.get_device_name(0) if cuda else f'CPU, {torch.get_num_threads()} threads', precision=acc.mixed_precision.replace('no', 'fp32'), rate=matmul_rate(acc.device))

def in_process(*case):
    "A case measured in a process of its own; None if it did not end well"
    r = subprocess.run([sys.executable, __file__, '--case', json.dumps(case)], capture_output=True, text=True)
    if r.returncode: print(f'{case}: exit code {r.returncode}\n{r.stderr[-500:]}', file=sys.stderr)
    return json.loads(r.stdout.splitlines()[-1]) if not r.returncode else None

def line(batch, tokens, mode, runs):
    "A row of the table: seconds (best of each round), peak memory and share for each path, and the fast path's part of the published time"
    best = {p: min(r, key=lambda c: c['seconds']) for p, r in runs.items() if r}
    rate, cells = max(c['rate'] for r in runs.values() for c in r), []
    for p in runs:
        if p not in best: cells.append('not run'); continue
        c, all_of = best[p], sorted(r['seconds'] for r in runs[p])
        flops = least_flops(768, 50257, 12, c['patches'], batch, c['tokens'] - c['common'], train=mode == 'train')
        cells.append(f"{all_of[0]:.2f}-{all_of[-1]:.2f} s, {c['memory']:.1f} GB, {flops/c['seconds']/rate:.0%}")
    ratio = f"{best['fast']['seconds']/best['published']['seconds']:.2f}" if {'fast', 'published'} <= best.keys() else ''
    print(f"| {mode} | {batch} | {c['tokens']:.0f} ({c['common']} common) | {' | '.join(cells)} | {ratio} |", flush=True)

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--tokenizer', default='openai-community/gpt2', help="folder or hub id of GPT-2's tokenizer")
    ap.add_argument('--batch', type=int, nargs='*', default=[8, 32])
    ap.add_argument('--rounds', type=int, default=2)
    ap.add_argument('--steps', type=int, default=2, help='timed steps in each process')
    ap.add_argument('--case', help=argparse.SUPPRESS)
    o = ap.parse_args()
    if o.case: return print(json.dumps(one_case(*json.loads(o.case))))
    memory = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else psutil.virtual_memory().available
    head, last = None, {}
    for mode in ('train', 'evaluate'):
        for tokens in (125, 230):
            for batch in o.batch:
                runs = dict(published=[], plain=[], fast=[])
                for turn in range(o.rounds):
                    for p in runs:
                        was = last.get((p, tokens, mode))   # batch and peak of the smaller batch
                        need = 2 + (was[1] - 2)*batch/was[0] if was else 0   # GB; some 2 do not grow with the batch
                        if need > .97*memory/1e9:
                            if not turn: print(f'{p}, {mode}, batch {batch}, {tokens} tokens: not run, would need some {need:.0f} GB', file=sys.stderr)
                            continue
                        c = in_process(p, batch, tokens, mode, o.tokenizer, o.steps)
                        if not c: continue
                        runs[p].append(c)
                        if not head:
                            head = f"{c['device']}, {c['precision']}, matrix products {c['rate']/1e9:.0f} GFLOP/s, torch {torch.__version__}"
                            print(f'{head}\n\n| step | batch | prompt tokens | published | plain | fast | fast/published |\n|---|---|---|---|---|---|---|', flush=True)
                line(batch, tokens, mode, runs)
                for p, r in runs.items():
                    if r: last[p, tokens, mode] = batch, r[0]['memory']

if __name__ == '__main__': main()
