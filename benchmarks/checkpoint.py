#!/usr/bin/env python3
"""Size of the GPT-2 preset's state, what a save costs, how long a resume takes

python benchmarks/checkpoint.py --tokenizer FOLDER

GPT-2 with 12 layers (random weights), the preset etth1_gpt2_colab on generated data of ETTh1's size, batch 4,
in a folder that counts as Drive.
stall: seconds that `save` keeps training, beside copying the same tensors in memory. Then steps alone, steps while a
save is written and copied, and steps while the copy goes into a folder of 20 MB/s.
Resume in a new process's place: the local disk is gone, the files come from the folder.
"""
import argparse, os, shutil, tempfile, time, torch
import pandas as pd
from itertools import islice
from pathlib import Path
from unittest import mock

from transformers import AutoTokenizer, GPT2Config, GPT2Model

from timellm.checkpoint import load_checkpoint, peek, snapshot, verify
from timellm.config import make_config
from timellm.faults import drive_at
from timellm.folder import decide
from timellm.session import Session
from timellm.table import synthetic_frame

def timed(f):
    "Seconds that a function takes, and its result"
    begun = time.perf_counter()
    result = f()
    return time.perf_counter() - begun, result

def tensors(x):
    "Bytes of all tensors in a state"
    if isinstance(x, torch.Tensor): return x.numel()*x.element_size()
    if isinstance(x, dict): return sum(map(tensors, x.values()))
    if isinstance(x, (list, tuple)): return sum(map(tensors, x))
    return 0

def throttled(src, dst, n, rate=20e6):
    "As `shutil.copyfileobj`, with `rate` bytes a second"
    begun, done = time.perf_counter(), 0
    while piece := src.read(2**20):
        done += dst.write(piece)
        time.sleep(max(0, done/rate - (time.perf_counter() - begun)))

def steps(t, n):
    "Seconds of each of n training steps"
    one = lambda i: timed(lambda: t.train_step(*t.prepare(i)))[0]
    return [one(i) for i in islice(t.batches(), n)]

def print_sizes(state):
    print('part          MB')
    for k in ('model', 'optimizer'): print(f'{k:10} {tensors(state[k])/1e6:6.1f}')

def print_pace(name, seconds):
    median = pd.Series(seconds).median()
    print(f'{name:44} median {median:.2f}, least {min(seconds):.2f}, most {max(seconds):.2f} s a step')

def measure_saves(s, n):
    "What saving costs a session, n steps for each pace"
    t = s.trainer
    steps(t, 2)
    state = t.state_dict()
    print_sizes(state)
    copy = min(timed(lambda: snapshot(state))[0] for _ in range(3))
    alone, during, stalls = steps(t, n), [], []
    for _ in range(3):
        stalls.append(timed(t.save)[0])
        during += steps(t, 2)
        s.saver.flush()
    size = next(s.folder.local.glob('checkpoint_step_*/checkpoint.pt')).stat().st_size
    print(f'file       {size/1e6:6.1f}, all but the tensors {(size - tensors(state))/1e3:.0f} kB')
    seconds = ', '.join(f'{x:.2f}' for x in stalls)
    print(f'stall of a save {seconds} s; copying its tensors in memory {copy:.2f} s')
    with mock.patch.object(shutil, 'copyfileobj', throttled):
        t.save()
        begun, slow = time.perf_counter(), steps(t, n)
        s.saver.flush()
        print(f'a copy at 20 MB/s took {time.perf_counter() - begun:.0f} s')
    print_pace('steps alone', alone)
    print_pace('steps after a save, written and copied', during)
    print_pace('steps while a slow folder is copied to', slow)

def measure_resume(s):
    "How long a new session takes to its state, from the folder on Drive alone"
    find, d = timed(lambda: decide(s.folder, s.cfg, s.identity, fetch=True))
    load, state = timed(lambda: load_checkpoint(d.found.path, s.folder.whole))
    put, _ = timed(lambda: s.load(state, d.found))
    print(f'resume: find, copy from the folder and verify (step file and best) {find:.2f} s; '
        f'load {load:.2f} s; put into model and optimizer {put:.2f} s')
    verified, _ = timed(lambda: verify(d.found.path))
    peeked, _ = timed(lambda: peek(d.found.path))
    print(f'verify alone {verified:.2f} s, peek {peeked*1000:.0f} ms')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tokenizer', required=True, help='folder with the GPT-2 tokenizer')
    p.add_argument('--steps', type=int, default=6, help='steps for each pace')
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d, drive_at(f'{d}/drive', 0):
        os.environ['TIMELLM_CACHE'] = f'{d}/cache'
        Path(f'{d}/drive').mkdir()
        GPT2Model(GPT2Config(n_layer=12)).save_pretrained(f'{d}/gpt2')
        AutoTokenizer.from_pretrained(o.tokenizer).save_pretrained(f'{d}/gpt2')
        cfg = make_config('etth1_gpt2_colab', llm_path=f'{d}/gpt2', project_dir=f'{d}/drive', data='custom',
            data_path='made.csv', batch_size=4)
        df = synthetic_frame(17420)
        s = Session(cfg, df)
        s.resume()
        s.trainer.model.train()
        measure_saves(s, o.steps)
        s.trainer.save(best=True)
        s.saver.flush()
        shutil.rmtree(f'{d}/cache')
        measure_resume(Session(cfg, df))

if __name__ == '__main__': main()
