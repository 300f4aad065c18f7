#!/usr/bin/env python3
"""Seconds and peak memory of a training and an evaluation step, in one run:
python benchmarks/step.py --tokenizer FOLDER

GPT-2 with 12 layers (random weights: the time does not depend on them), windows of 512, horizon 96, prompts of about
125 and 230 tokens.
published  the published arithmetic: filled-up prompt and patches through all layers with gradient, eager attention,
           gelu_new, the model's dropout, the mapping layer on transposed embeddings (also in each evaluation step),
           Adam as torch chooses it
plain      timellm's plain full pass: the same positions, masked, fused activation and attention
fast       timellm as it trains: common tokens once, own prompt without gradient, patches with gradient

Each figure comes from a process of its own, the best of its steps after one to warm up; the rounds go through all
three in turn. share: the rate of the least possible work (timellm.machine.least_flops) as a part of this machine's
matrix product rate, measured in each round.
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

PATHS = 'published', 'plain', 'fast'
LONG = PAPER_DESCRIPTION + (' Operators size a transformer by the load that it is going to carry, and the oil inside '
    'it tells how hard it works: when the load stays high in warm weather the oil heats up, and a transformer that '
    'overheats ages fast or fails. This table holds two years of readings from one station in a county of China, one '
    'row an hour, with six kinds of load (high, middle and low, useful and useless) and the temperature of the oil. '
    'Loads follow the day and the week, rise in winter, and shift when the station is switched to serve other '
    'streets.')

def published(model, x, texts, tokenizer):
    "A forecast by the published arithmetic, with the weights of `model`"
    b, (z, mean, std) = model.backbone, instance_norm(x)
    ids = tokenizer(texts, return_tensors='pt', padding=True).input_ids.to(x.device)
    prototypes = model.mapping_layer(b.embeddings.permute(1, 0)).permute(1, 0)   # (num_tokens, d_llm)
    patches = model.reprogramming_layer(model.patch_embedding(z), prototypes)   # (B, P, d_llm)
    words = b.model.get_input_embeddings()(ids)   # (B, L, d_llm)
    out = b.model(inputs_embeds=torch.cat([words, patches], 1), use_cache=False)
    h = out.last_hidden_state[:, -patches.shape[1]:, :model.d_ff]   # (B, P, d_ff)
    return model.output_projection(h)*std + mean

def make_model(cfg, path, tokenizer):
    "The model of a path, with random GPT-2 weights"
    torch.manual_seed(0)
    attention = 'eager' if path == 'published' else 'sdpa'
    gpt2 = GPT2Model(GPT2Config(n_layer=12, attn_implementation=attention))
    activation = gpt2.h[0].mlp.act
    model = TimeLLM(cfg, Backbone(gpt2, tokenizer, 'GPT-2'))
    if path == 'published':
        for layer in gpt2.h: layer.mlp.act = activation   # gelu_new, which Backbone replaces
        model.backbone.dropout = True   # the frozen model's own dropout is active
    if path == 'plain': model.backbone.fast = False
    return model

def make_optimizer(model, path):
    fused = None if path == 'published' else True
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 4e-4, fused=fused)

def step_times(step, steps, device):
    "Seconds of each of `steps` steps, after one to warm up"
    times = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        step()
        if device.type == 'cuda': torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return times[1:]

def peak_memory(device):
    "Most bytes held so far"
    if device.type == 'cuda': return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024

def device_text(device):
    if device.type == 'cuda': return torch.cuda.get_device_name(0)
    return f'CPU, {torch.get_num_threads()} threads'

def machine_figures(acc):
    "Peak memory until now; device, precision, and the rate of its matrix products"
    memory = peak_memory(acc.device)/1e9   # before the rate, whose measurement needs some
    precision = acc.mixed_precision.replace('no', 'fp32')
    return dict(memory=memory, device=device_text(acc.device), precision=precision, rate=matmul_rate(acc.device))

def one_case(path, batch, tokens, mode, tokenizer, steps):
    "Figures of a path in this process"
    cfg = make_config('etth1_gpt2_colab', batch_size=batch, description='' if tokens == 125 else LONG)
    acc, tok = make_accelerator(cfg), AutoTokenizer.from_pretrained(tokenizer)
    tok.pad_token = tok.eos_token
    model, prompter = make_model(cfg, path, tok), Prompter(cfg, tok)
    model, optimizer = acc.prepare(model, make_optimizer(model, path))
    bare, training = acc.unwrap_model(model), mode == 'train'
    model.train(training)
    x = torch.randn(batch, cfg.seq_len).cumsum(1)
    y = torch.randn(batch, cfg.pred_len).to(acc.device)
    ids, mask = prompter(x)   # (B, L)
    with torch.no_grad(), acc.autocast(): prototypes = bare.prototypes()
    given = None if training else prototypes
    def forecast():
        with acc.autocast():
            if path == 'published': return published(bare, x.to(acc.device), prompt_texts(x, cfg), tok)
            inputs = [t.to(acc.device) for t in (x, *prompter(x))]
            return bare(*inputs, given)
    def train():
        acc.backward(F.mse_loss(forecast(), y))
        optimizer.step()
        optimizer.zero_grad()
    times = step_times(train if training else torch.no_grad()(forecast), steps, acc.device)
    mean_tokens = mask.sum(1).float().mean().item()
    sizes = dict(tokens=mean_tokens, common=len(bare.backbone.common), patches=count_patches(cfg))
    return dict(seconds=min(times), **sizes, **machine_figures(acc))

def in_process(*case):
    "A case measured in a process of its own; None if it did not end well"
    command = [sys.executable, __file__, '--case', json.dumps(case)]
    r = subprocess.run(command, capture_output=True, text=True)
    if not r.returncode: return json.loads(r.stdout.splitlines()[-1])
    print(f'{case}: exit code {r.returncode}\n{r.stderr[-500:]}', file=sys.stderr)

def cell(runs, mode, batch, rate):
    "Seconds (best of each round), peak memory and share of a path's runs"
    if not runs: return 'not run'
    seconds = sorted(r['seconds'] for r in runs)
    c = min(runs, key=lambda r: r['seconds'])
    own = c['tokens'] - c['common']
    flops = least_flops(768, 50257, 12, c['patches'], batch, own, train=mode == 'train')
    return f"{seconds[0]:.2f}-{seconds[-1]:.2f} s, {c['memory']:.1f} GB, {flops/c['seconds']/rate:.0%}"

def line(batch, mode, runs):
    "A row of the table: each path's figures, and the fast path's part of the published time"
    all_runs = [c for r in runs.values() for c in r]
    rate, c = max(c['rate'] for c in all_runs), all_runs[-1]
    best = {p: min(c['seconds'] for c in r) for p, r in runs.items() if r}
    ratio = ''
    if {'fast', 'published'} <= best.keys(): ratio = f"{best['fast']/best['published']:.2f}"
    cells = ' | '.join(cell(r, mode, batch, rate) for r in runs.values())
    print(f"| {mode} | {batch} | {c['tokens']:.0f} ({c['common']} common) | {cells} | {ratio} |", flush=True)

def print_head(c):
    "The machine of a case, and the table's head"
    rate = f"{c['rate']/1e9:.0f}"
    print(f"{c['device']}, {c['precision']}, matrix products {rate} GFLOP/s, torch {torch.__version__}\n")
    print('| step | batch | prompt tokens | published | plain | fast | fast/published |')
    print('|---|---|---|---|---|---|---|', flush=True)

class Benchmark:
    "Rounds of cases; knows what the smaller batch needed"
    def __init__(self, o): # parsed arguments
        self.o = o
        self.memory = psutil.virtual_memory().available
        if torch.cuda.is_available(): self.memory = torch.cuda.get_device_properties(0).total_memory
        self.head_printed = False
        self.last = {}   # (path, tokens, mode): batch and peak in GB of the smaller batch
    def need(self, path, tokens, mode, batch):
        "GB that a case would need, 0 where nothing is known; some 2 do not grow with the batch"
        if (path, tokens, mode) not in self.last: return 0
        smaller, peak = self.last[path, tokens, mode]
        return 2 + (peak - 2)*batch/smaller
    def run(self, path, tokens, mode, batch, turn):
        "Figures of a case; None where it does not fit or fails"
        need = self.need(path, tokens, mode, batch)
        if need > .97*self.memory/1e9:
            case = f'{path}, {mode}, batch {batch}, {tokens} tokens'
            if not turn: print(f'{case}: not run, would need some {need:.0f} GB', file=sys.stderr)
            return None
        c = in_process(path, batch, tokens, mode, self.o.tokenizer, self.o.steps)
        if c and not self.head_printed: print_head(c)
        self.head_printed = self.head_printed or bool(c)
        return c
    def row(self, tokens, mode, batch):
        "All rounds of a row"
        runs = {p: [] for p in PATHS}
        for turn in range(self.o.rounds):
            for p in PATHS:
                if c := self.run(p, tokens, mode, batch, turn): runs[p].append(c)
        line(batch, mode, runs)
        for p, r in runs.items():
            if r: self.last[p, tokens, mode] = batch, r[0]['memory']

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--tokenizer', default='openai-community/gpt2', help="folder or hub id of GPT-2's tokenizer")
    ap.add_argument('--batch', type=int, nargs='*', default=[8, 32])
    ap.add_argument('--rounds', type=int, default=2)
    ap.add_argument('--steps', type=int, default=2, help='timed steps in each process')
    ap.add_argument('--case', help=argparse.SUPPRESS)
    o = ap.parse_args()
    if o.case: return print(json.dumps(one_case(*json.loads(o.case))))
    benchmark = Benchmark(o)
    for mode in ('train', 'evaluate'):
        for tokens in (125, 230):
            for batch in o.batch: benchmark.row(tokens, mode, batch)

if __name__ == '__main__': main()
