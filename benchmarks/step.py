#!/usr/bin/env python3
"""Seconds and memory of a training step, an evaluation step and a forecast, in one run:
python benchmarks/step.py --tokenizer FOLDER

Models have random weights, as the time does not depend on them. Horizon 96; prompts of about 125 and 230 tokens of
GPT-2's tokenizer. A forecast is an evaluation step that makes the prototypes first.
published  the published arithmetic: filled-up prompt and patches through all layers with gradient, eager attention,
           gelu_new, the model's dropout, the mapping layer on transposed embeddings (also in each evaluation step),
           Adam as torch chooses it
plain      timellm's plain full pass: the same positions, masked, fused activation and attention
fast       timellm as it trains: common tokens once, own prompt without gradient, patches with gradient; on a CPU
           freed memory is kept for the next step (timellm.machine.keep_freed_memory)
direct     as fast, with prototypes=direct: no product over the vocabulary; only where it is asked for
neuralforecast  the TimeLLM of that library (pip install neuralforecast), same windows, same backbone, its own prompt
           (in which numbers have up to 17 digits); only where it is asked for

predicted is the peak that timellm.footprint gives for the fast path. What would take over 18 GB is not run.
--profile tells where a step of the fast path goes; --csv and --picture keep the table.

Each figure comes from a process of its own, the best of its steps after one to warm up; the rounds go through all
three in turn. share: the rate of the least possible work (timellm.machine.least_flops) as a part of this machine's
matrix product rate, measured in each round.
"""
import argparse, json, resource, subprocess, sys, tempfile, time
from collections import Counter
from itertools import product
from typing import NamedTuple

import pandas as pd, torch
from matplotlib.figure import Figure
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from transformers import AutoTokenizer, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from timellm import footprint
from timellm.backbone import Backbone
from timellm.config import make_config
from timellm.machine import keep_freed_memory, least_flops, make_accelerator, matmul_rate
from timellm.model import TimeLLM, count_patches
from timellm.prompt import PAPER_DESCRIPTION, Prompter, common_tokens, describe, instance_norm, prompt_texts

PATHS = 'published', 'plain', 'fast'
OURS = 'plain', 'fast', 'direct'
EVERY_PATH = *PATHS, 'direct', 'neuralforecast'
MODES = 'train', 'evaluate', 'forecast'
MOST = 18e9   # bytes
_SMOLLM2 = dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3)
_LLAMA = dict(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_attention_heads=32)
MODELS = {   # class, config
    'gpt2-12': (GPT2Model, GPT2Config(n_layer=12)),
    'smollm2-6': (LlamaModel, LlamaConfig(num_hidden_layers=6, **_SMOLLM2)),
    'smollm2-30': (LlamaModel, LlamaConfig(num_hidden_layers=30, **_SMOLLM2)),
    'llama-4': (LlamaModel, LlamaConfig(num_hidden_layers=4, **_LLAMA))}
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

def frozen_bytes(name):
    kind, config = MODELS[name]
    with torch.device('meta'): return sum(p.nbytes for p in kind(config).parameters())

def make_config_of(case):
    "The run of a case"
    sizes = dict(batch_size=case.batch, seq_len=case.seq_len, d_ff=32 if case.seq_len < 512 else 128)
    sizes['llm_layers'] = MODELS[case.model][1].num_hidden_layers
    if case.path == 'direct': sizes['prototypes'] = 'direct'
    return make_config('etth1_gpt2_colab', description='' if case.tokens == 125 else LONG, **sizes)

def make_model(cfg, name, path, tokenizer):
    "The model of a path, with random weights"
    torch.manual_seed(0)
    kind, config = MODELS[name]
    config._attn_implementation = 'eager' if path == 'published' else 'sdpa'
    llm = kind(config)
    activations = [layer.mlp.act for layer in llm.h] if name.startswith('gpt2') else []
    model = TimeLLM(cfg, Backbone(llm, tokenizer, name))
    if path == 'published':
        for layer, activation in zip(getattr(llm, 'h', []), activations): layer.mlp.act = activation   # gelu_new
        model.backbone.dropout = True   # the frozen model's own dropout is active
    if path == 'plain': model.backbone.fast = False
    return model

def make_other(cfg, name, tokenizer):
    "neuralforecast's model with a backbone of the same shape"
    from neuralforecast.models import TimeLLM as Other
    torch.manual_seed(0)
    kind, config = MODELS[name]
    with tempfile.TemporaryDirectory() as folder: # where it reads its backbone
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        sizes = {n: getattr(cfg, n) for n in ('patch_len', 'stride', 'd_ff', 'd_model', 'n_heads')}
        sizes |= dict(d_llm=config.hidden_size, enc_in=1)
        backbone = dict(llm=folder, llm_num_hidden_layers=config.num_hidden_layers, prompt_prefix=describe(cfg))
        return Other(cfg.pred_len, cfg.seq_len, **sizes, **backbone)

def make_optimizer(model, path):
    fused = True if path in OURS else None
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

GROUPS = {   # of kernels, by parts of their names
    'products': 'addmm mm bmm linear', 'attention': 'scaled_dot_product', 'activations': 'gelu silu',
    'copies': 'copy_ cat clone contiguous', 'dropout': 'bernoulli dropout', 'norms': 'norm', 'Adam': 'adam'}

def group_of(kernel):
    "Which of `GROUPS` a kernel belongs to"
    for group, parts in GROUPS.items():
        if any(part in kernel.lower() for part in parts.split()): return group
    return 'the rest'

def where_it_goes(step):
    "Seconds of a step's kernels by group"
    with profile(activities=[ProfilerActivity.CPU]) as p: step()
    seconds = Counter()
    for e in p.key_averages(): seconds[group_of(e.key)] += e.self_cpu_time_total/1e6
    return dict(seconds.most_common())

class Case(NamedTuple):
    "What is measured"
    model: str
    path: str
    batch: int
    tokens: int   # of a prompt, about
    seq_len: int
    mode: str

def predicted_peak(cfg, case, lengths, device):
    "GB that timellm.footprint expects"
    config, training = MODELS[case.model][1], case.mode == 'train'
    f = footprint._drawn_out(cfg, config, footprint.WHOLE, lengths, training)
    return footprint.needed(f, case.batch, device.type)/1e9

def make_step(case, cfg, acc, tok):
    "The function that makes a step; the model"
    is_other = case.path == 'neuralforecast'
    if case.path in OURS and acc.device.type == 'cpu': keep_freed_memory(True)
    model = make_other(cfg, case.model, tok) if is_other else make_model(cfg, case.model, case.path, tok)
    model, optimizer = acc.prepare(model, make_optimizer(model, case.path))
    bare, prompter = acc.unwrap_model(model), Prompter(cfg, tok)
    model.train(case.mode == 'train')
    x = torch.randn(case.batch, cfg.seq_len).cumsum(1)
    y = torch.randn(case.batch, cfg.pred_len).to(acc.device)
    given = None   # prototypes
    if case.mode == 'evaluate' and not is_other:
        with torch.no_grad(), acc.autocast(): given = bare.prototypes()
    def send(*tensors): return [t.to(acc.device) for t in tensors]
    def forecast():
        with acc.autocast():
            if is_other: return bare.forecast(send(x)[0][..., None])[..., 0]
            if case.path == 'published': return published(bare, *send(x), prompt_texts(x, cfg), tok)
            return bare(*send(x, *prompter(x)), given)
    def train():
        acc.backward(F.mse_loss(forecast(), y))
        optimizer.step()
        optimizer.zero_grad()
    step = train if case.mode == 'train' else torch.no_grad()(forecast)
    return step, prompter(x)

def one_case(case, tokenizer, steps, profiled):
    "Figures of a case in this process"
    cfg = make_config_of(case)
    acc, tok = make_accelerator(cfg), AutoTokenizer.from_pretrained(tokenizer)
    tok.pad_token = tok.eos_token
    config = MODELS[case.model][1]
    config.vocab_size = max(config.vocab_size, len(tok))   # a word for each of GPT-2's tokens
    step, (ids, mask) = make_step(case, cfg, acc, tok)
    figures = dict(seconds=min(step_times(step, steps, acc.device)), **machine_figures(acc))
    common = len(common_tokens(cfg, tok))
    tokens = mask.sum(1).float().mean().item()
    figures |= dict(tokens=tokens, common=common, patches=count_patches(cfg))
    lengths = footprint.Lengths(ids.shape[1], common)
    figures['predicted'] = predicted_peak(cfg, case, lengths, acc.device)
    if profiled and case.path == 'fast': figures['profile'] = where_it_goes(step)
    return figures

def in_process(*case):
    "A case measured in a process of its own; None if it did not end well"
    command = [sys.executable, __file__, '--case', json.dumps(case)]
    r = subprocess.run(command, capture_output=True, text=True)
    if not r.returncode: return json.loads(r.stdout.splitlines()[-1])
    print(f'{case}: exit code {r.returncode}\n{r.stderr[-500:]}', file=sys.stderr)

def layer_weights(config):
    "Weights of the products of a layer"
    if not hasattr(config, 'num_key_value_heads'): return 12*config.hidden_size**2
    d, grouped = config.hidden_size, config.num_key_value_heads/config.num_attention_heads
    return int(2*d*d*(1 + grouped)) + 3*d*config.intermediate_size

def least(case, c):
    "Floating point operations that a step cannot do without"
    config = MODELS[case.model][1]
    d, own = config.hidden_size, c['tokens'] - c['common']
    vocab = 0 if case.path == 'direct' else config.vocab_size
    how = dict(own=own, layer=layer_weights(config), train=case.mode == 'train')
    flops = least_flops(d, vocab, config.num_hidden_layers, c['patches'], case.batch, **how)
    return flops + 2*1000*vocab*d if case.mode == 'forecast' else flops   # with the prototypes

def row_of(case, c, rate):
    "A row of the kept table"
    share = least(case, c)/c['seconds']/rate
    kept = {n: c[n] for n in ('seconds', 'memory', 'predicted', 'tokens', 'common')}
    kept |= dict(asked=case.tokens, samples=case.batch/c['seconds'], share=share)
    return {**case._asdict(), **kept}

class Benchmark:
    "Rounds of cases; knows what the smaller batch needed"
    def __init__(self, o): # parsed arguments
        self.o = o
        self.head_printed = False
        self.last = {}   # a case with batch 0: batch and peak in GB of the smaller batch
        self.rows = []
    def fits(self, case):
        "Would it take less than `MOST`? What a smaller batch took says so; frozen weights and some 1.5 GB do not grow"
        smaller, peak = self.last.get(case._replace(batch=0), (case.batch, 0))
        stays = 1.5 + frozen_bytes(case.model)/1e9
        return stays + max(peak - stays, 0)*case.batch/smaller <= MOST/1e9
    def run(self, case):
        "Figures of a case; None where it does not fit or fails"
        if not self.fits(case): return None
        c = in_process(case, self.o.tokenizer, self.o.steps, self.o.profile)
        if not c: return None
        if not self.head_printed: print_head(c, self.o.paths)
        self.head_printed = True
        self.last[case._replace(batch=0)] = case.batch, c['memory']
        return c
    def keep(self):
        "Write the table and its picture as far as they go"
        if not self.rows: return
        if self.o.csv: pd.DataFrame(self.rows).to_csv(self.o.csv, index=False)
        if self.o.picture: picture(self.rows, self.o.picture)
    def measure(self, cases):
        "All rounds of the paths of a row: the best of each, printed"
        runs = {case: [] for case in cases}
        for _ in range(self.o.rounds):
            for case, found in runs.items(): found.append(self.run(case))
        rate = max((c['rate'] for found in runs.values() for c in found if c), default=0)
        best = {}
        for case, found in runs.items():
            whole = [c for c in found if c]
            if not whole: continue
            quickest = min(whole, key=lambda c: c['seconds'])
            best[case.path] = row_of(case, quickest, rate)
        self.rows += best.values()
        self.keep()
        if best: print(line(best, self.o.paths), flush=True)
        for found in runs.values():
            for c in found[-1:]:
                if c and 'profile' in c: print_profile(c['profile'])

def line(best, paths):
    "A row of the printed table"
    cells = []
    for p in paths:
        f = best.get(p)
        cells.append(f"{f['seconds']:.2f} s, {f['memory']:.1f} GB, {f['share']:.0%}" if f else 'does not fit')
    any_row = next(iter(best.values()))
    fast, old = best.get('fast', any_row), best.get('published')
    ratio = f"{fast['seconds']/old['seconds']:.2f}" if old else ''
    tokens = f"{any_row['tokens']:.0f} ({any_row['common']} common)"
    case = [any_row[n] for n in ('model', 'mode', 'batch', 'seq_len')]
    parts = [*case, tokens, *cells, f"{fast['predicted']:.1f} GB", ratio]
    return '| ' + ' | '.join(map(str, parts)) + ' |'

def print_head(c, paths):
    "The machine of a case, and the table's head"
    rate = f"{c['rate']/1e9:.0f}"
    print(f"{c['device']}, {c['precision']}, matrix products {rate} GFLOP/s, torch {torch.__version__}\n")
    cells = ' | '.join(paths)
    print(f'| model | step | batch | seq_len | prompt tokens | {cells} | predicted | fast/published |')
    print('|---'*(7 + len(paths)) + '|', flush=True)

def print_profile(seconds):
    whole = sum(seconds.values())
    print('  ' + ', '.join(f'{group} {s:.2f} s ({s/whole:.0%})' for group, s in seconds.items()), flush=True)

TRAINED, VALIDATED = 8033*7, 2785*7   # windows of ETTh1 with 512 rows in and 96 out

def print_epochs(rows, paths):
    "Hours of an epoch of ETTh1 with its validation, where both kinds of step were measured"
    case = ['model', 'batch', 'seq_len', 'asked', 'path', 'mode']
    table = pd.DataFrame(rows).set_index(case).seconds.unstack()
    if not {'train', 'evaluate'} <= {*table}: return
    steps = table.train*TRAINED + table.evaluate*VALIDATED
    hours = (steps/table.index.get_level_values('batch')/3600).unstack('path')
    print('\nhours of an epoch of ETTh1 with its validation')
    hours = hours.reindex(columns=paths).dropna(how='all')
    print(hours.round(2).to_string(), flush=True)

def picture(rows, path):
    "Samples a second by batch, a panel for each model and step"
    table = pd.DataFrame(rows)
    groups = list(table.groupby(['model', 'mode', 'seq_len'], sort=False))
    fig = Figure(figsize=(4*len(groups), 3.2), layout='constrained')
    axes = fig.subplots(1, len(groups), squeeze=False)[0]
    for ax, (title, rows) in zip(axes, groups):
        for p in rows.path.unique():
            r = rows[rows.path == p]
            ax.loglog(r.batch, r.samples, marker='o', label=p)
        ax.set(title=' '.join(map(str, title)), xlabel='batch', ylabel='windows a second')
        ax.legend(fontsize=8)
    fig.savefig(path)

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--tokenizer', default='openai-community/gpt2', help="folder or hub id of GPT-2's tokenizer")
    ap.add_argument('--models', nargs='*', default=['gpt2-12'], choices=MODELS)
    ap.add_argument('--paths', nargs='*', default=PATHS, choices=EVERY_PATH)
    ap.add_argument('--modes', nargs='*', default=['train', 'evaluate'], choices=MODES)
    ap.add_argument('--batch', type=int, nargs='*', default=[8, 32])
    ap.add_argument('--tokens', type=int, nargs='*', default=[125, 230])
    ap.add_argument('--seq_len', type=int, nargs='*', default=[512])
    ap.add_argument('--rounds', type=int, default=2)
    ap.add_argument('--steps', type=int, default=2, help='timed steps in each process')
    ap.add_argument('--profile', action='store_true', help='where a step of the fast path goes')
    ap.add_argument('--csv', help='file for the figures')
    ap.add_argument('--picture', help='file for a drawing of them')
    ap.add_argument('--case', help=argparse.SUPPRESS)
    o = ap.parse_args()
    if o.case:
        case, *more = json.loads(o.case)
        return print(json.dumps(one_case(Case(*case), *more)))
    benchmark = Benchmark(o)
    for model, *sizes in product(o.models, o.modes, o.seq_len, o.tokens, o.batch):
        mode, seq_len, tokens, batch = sizes
        benchmark.measure([Case(model, p, batch, tokens, seq_len, mode) for p in o.paths])
    if benchmark.rows: print_epochs(benchmark.rows, o.paths)

if __name__ == '__main__': main()
