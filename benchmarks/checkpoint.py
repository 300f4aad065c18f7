#!/usr/bin/env python3
"""Size of the GPT-2 preset's state, what a save costs, how long a resume takes: python benchmarks/checkpoint.py --tokenizer FOLDER

GPT-2 with 12 layers (random weights), the preset etth1_gpt2_colab on generated data of ETTh1's size, batch 4, in a folder that counts as Drive.
stall: seconds that `save` keeps training, beside copying the same tensors in memory. Then steps alone, steps while a save is written and copied, and
steps while the copy goes into a folder of 20 MB/s. Resume in a new process's place: the local disk is gone, the files come from the folder.
"""
import argparse, os, shutil, tempfile, time
from pathlib import Path

import pandas as pd, torch
from transformers import AutoTokenizer, GPT2Config, GPT2Model

from timellm.checkpoint import *
from timellm.config import make_config
from timellm.table import synthetic_frame
from timellm.faults import drive_at
from timellm.trainer import Trainer

def timed(f):
    t = time.perf_counter()
    r = f()
    return time.perf_counter() - t, r

def tensors(x):
    if isinstance(x, torch.Tensor): return x.numel()*x.element_size()
    return sum(map(tensors, x.values() if isinstance(x, dict) else x)) if isinstance(x, (dict, list, tuple)) else 0

def throttled(src, dst, n, rate=20e6):
    begun, done = time.perf_counter(), 0
    while piece := src.read(2**20):
        done += dst.write(piece)
        time.sleep(max(0, done/rate - (time.perf_counter() - begun)))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tokenizer', required=True, help='folder with the GPT-2 tokenizer')
    p.add_argument('--steps', type=int, default=6, help='steps for each pace')
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d, drive_at(f'{d}/drive', 0):
        os.environ['TIMELLM_CACHE'] = f'{d}/cache'
        (Path(d)/'drive').mkdir()
        GPT2Model(GPT2Config(n_layer=12)).save_pretrained(f'{d}/gpt2')
        AutoTokenizer.from_pretrained(o.tokenizer).save_pretrained(f'{d}/gpt2')
        cfg = make_config('etth1_gpt2_colab', llm_path=f'{d}/gpt2', project_dir=f'{d}/drive', data='custom', data_path='made.csv', batch_size=4)
        df = synthetic_frame(17420)
        t = Trainer(cfg, df)
        t.resume()
        t.model.train()
        def steps(n): return [timed(lambda: t.train_step(*t.prepare(i)))[0] for i, _ in zip(t.batches(), range(n))]
        steps(2)
        state = t.state_dict()
        print('part          MB')
        for k in ('model', 'optimizer'): print(f'{k:10} {tensors(state[k])/1e6:6.1f}')
        copy, alone = min(timed(lambda: snapshot(state))[0] for _ in range(3)), steps(o.steps)
        stalls, during = [], []
        for _ in range(3):
            stalls.append(timed(t.save)[0])
            during += steps(2)
            wait = timed(t.saver.flush)[0]
        size = next(Path(t.saver.work).glob('checkpoint_step_*/checkpoint.pt')).stat().st_size
        print(f'file       {size/1e6:6.1f}, all but the tensors {(size - tensors(state))/1e3:.0f} kB')
        print(f'stall of a save {", ".join(f"{s:.2f}" for s in stalls)} s; copying its tensors in memory {copy:.2f} s')
        unthrottled, shutil.copyfileobj = shutil.copyfileobj, throttled
        t.save()
        begun, slow = time.perf_counter(), steps(o.steps)
        t.saver.flush()
        print(f'a copy at 20 MB/s took {time.perf_counter() - begun:.0f} s')
        shutil.copyfileobj = unthrottled
        row = lambda name, x: print(f'{name:44} median {pd.Series(x).median():.2f}, least {min(x):.2f}, most {max(x):.2f} s a step')
        row('steps alone', alone), row('steps after a save, written and copied', during), row('steps while a slow folder is copied to', slow)
        t.save(best=True)
        t.saver.flush()
        shutil.rmtree(f'{d}/cache')
        new = Trainer(cfg, df)
        find, (found, _) = timed(new.choose)
        load, s = timed(lambda: load_checkpoint(found.path, new.saver.whole))
        put, _ = timed(lambda: new.load_state(s, found))
        print(f'resume: find, copy from the folder and verify (step file and best) {find:.2f} s; load {load:.2f} s; put into model and optimizer {put:.2f} s')
        print(f'verify alone {timed(lambda: verify(found.path))[0]:.2f} s, peek {timed(lambda: peek(found.path))[0]*1000:.0f} ms')

if __name__ == '__main__': main()
