#!/usr/bin/env python3
"""Size of the GPT-2 preset's state, what a save costs, how long a resume takes:

    python benchmarks/checkpoint.py --tokenizer FOLDER

GPT-2 with 12 layers (random weights), the preset etth1_gpt2_colab on generated data of ETTh1's size, batch 4,
in a folder that counts as Drive. stall: seconds that `save` keeps training, beside copying the same tensors in memory.
Then steps alone, steps while a save is written and copied, and steps while the copy goes into a folder of 20 MB/s.
Resume in a new process's place: the local disk is gone, the files come from the folder.
"""
import argparse, os, shutil, tempfile, time
from functools import partial
from itertools import islice
from pathlib import Path
from unittest import mock

import pandas as pd, torch
from transformers import AutoTokenizer, GPT2Config, GPT2Model

from timellm.checkpoint import *
from timellm.config import make_config
from timellm.faults import drive_at
from timellm.table import synthetic_frame
from timellm.trainer import Trainer

def timed(f):
    t = time.perf_counter()
    r = f()
    return time.perf_counter() - t, r

def seconds(f): return timed(f)[0]

def tensors(x):
    "Bytes of the tensors in a state"
    if isinstance(x, torch.Tensor): return x.numel()*x.element_size()
    if isinstance(x, dict): return sum(map(tensors, x.values()))
    return sum(map(tensors, x)) if isinstance(x, (list, tuple)) else 0

def throttled(src, dst, n, rate=20e6):
    "`shutil.copyfileobj` at `rate` bytes a second"
    begun, done = time.perf_counter(), 0
    while piece := src.read(2**20):
        done += dst.write(piece)
        time.sleep(max(0, done/rate - (time.perf_counter() - begun)))

def preset_in(d, tokenizer):
    "The preset with a random GPT-2, its project folder on a stand-in for Drive below `d`"
    os.environ['TIMELLM_CACHE'] = f'{d}/cache'
    (Path(d)/'drive').mkdir()
    GPT2Model(GPT2Config(n_layer=12)).save_pretrained(f'{d}/gpt2')
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(f'{d}/gpt2')
    made = dict(data='custom', data_path='made.csv', batch_size=4)
    return make_config('etth1_gpt2_colab', llm_path=f'{d}/gpt2', project_dir=f'{d}/drive', **made)

def steps(t, n):
    "Seconds of each of `n` training steps"
    def step(i): return t.train_step(*t.prepare(i))
    return [seconds(partial(step, i)) for i in islice(t.batches(), n)]

def say_sizes(t, state):
    size = next(Path(t.saver.work).glob('checkpoint_step_*/checkpoint.pt')).stat().st_size
    print('part          MB')
    for k in ('model', 'optimizer'): print(f'{k:10} {tensors(state[k])/1e6:6.1f}')
    print(f'file       {size/1e6:6.1f}, all but the tensors {(size - tensors(state))/1e3:.0f} kB')

def say_steps(name, x):
    x = pd.Series(x)
    print(f'{name:44} median {x.median():.2f}, least {x.min():.2f}, most {x.max():.2f} s a step')

def measure_saves(t, n):
    "Sizes, stalls, and steps beside a save"
    state = t.state_dict()
    copy = min(seconds(lambda: snapshot(state)) for _ in range(3))
    alone, stalls, during = steps(t, n), [], []
    for _ in range(3):
        stalls.append(seconds(t.save))
        during += steps(t, 2)
        t.saver.flush()
    say_sizes(t, state)
    print(f'stall of a save {", ".join(f"{s:.2f}" for s in stalls)} s; copying its tensors in memory {copy:.2f} s')
    with mock.patch.object(shutil, 'copyfileobj', throttled):
        t.save()
        begun, slow = time.perf_counter(), steps(t, n)
        t.saver.flush()
        print(f'a copy at 20 MB/s took {time.perf_counter() - begun:.0f} s')
    say_steps('steps alone', alone)
    say_steps('steps after a save, written and copied', during)
    say_steps('steps while a slow folder is copied to', slow)

def measure_resume(t):
    "A new trainer finds, loads and takes in the newest checkpoint"
    find, (found, _) = timed(t.choose)
    load, state = timed(lambda: load_checkpoint(found.path, t.saver.whole))
    put = seconds(lambda: t.load_state(state, found))
    look = f'find, copy from the folder and verify (step file and best) {find:.2f} s'
    print(f'resume: {look}; load {load:.2f} s; put into model and optimizer {put:.2f} s')
    alone, peeked = seconds(lambda: verify(found.path)), seconds(lambda: peek(found.path))
    print(f'verify alone {alone:.2f} s, peek {peeked*1000:.0f} ms')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tokenizer', required=True, help='folder with the GPT-2 tokenizer')
    p.add_argument('--steps', type=int, default=6, help='steps for each pace')
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d, drive_at(f'{d}/drive', 0):
        cfg, df = preset_in(d, o.tokenizer), synthetic_frame(17420)
        t = Trainer(cfg, df)
        t.resume()
        t.model.train()
        steps(t, 2)   # to warm up
        measure_saves(t, o.steps)
        t.save(best=True)
        t.saver.flush()
        shutil.rmtree(f'{d}/cache')
        measure_resume(Trainer(cfg, df))

if __name__ == '__main__': main()
