#!/usr/bin/env python3
"""The quickstart in JupyterLab in headless Chromium, as a person uses it: python tools/browser.py PYTHON WHEEL PICTURES [keep]

PYTHON    interpreter of an environment with jupyterlab, ipywidgets, ipykernel and torch; timellm is installed by the notebook's first cell
WHEEL     wheel of timellm, put into the project folder
PICTURES  folder for the screenshots

Widgets are set and clicked, the kernel is killed in mid-training, the page is loaded again. As root the project folder lies on a
mount that a stand-in for google.colab makes, else in an ordinary folder. Needs playwright, psutil, and Chromium or Chrome.
With the word keep (as root) the demo is run instead, and what it shows becomes the saved outputs of nbs/00_colab_quickstart.ipynb.
"""
import base64, io, json, os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import expect, sync_playwright

NOTEBOOK = Path(__file__).resolve().parent.parent/'nbs'/'00_colab_quickstart.ipynb'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chromium-browser'))), None)
SETTINGS = {'notebook-extension/tracker': dict(windowingMode='none'), 'apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False)}
STAND_IN = '''
import os, subprocess
def mount(path):
    if os.path.ismount(path): print(f'Drive already mounted at {path}')
    else: subprocess.run(['mount', '--bind', os.environ['CLOUD'], path], check=True); print(f'Mounted at {path}')
'''

@contextmanager
def colab(wheel, drive='', preset='tiny'):
    "A folder with the notebook, a stand-in for Drive with the wheel in it, and the environment that leads there"
    with tempfile.TemporaryDirectory(prefix='browser', ignore_cleanup_errors=True) as d:
        d, root = Path(d), os.geteuid() == 0
        drive = Path(drive or d/'drive')
        for p in (d/'cloud', d/'page', d/'google/colab', drive): p.mkdir(parents=True, exist_ok=True)
        (d/'google/colab/__init__.py').write_text('')
        (d/'google/colab/drive.py').write_text(STAND_IN)
        env = dict(TIMELLM_PROJECT_DIR=str(drive/'MyDrive/T-L-GPT2'), TIMELLM_PRESET=preset, TIMELLM_CACHE=str(d/'cache'), CLOUD=str(d/'cloud'))
        if root: env.update(PYTHONPATH=str(d), TIMELLM_DRIVE=str(drive))
        project = (d/'cloud' if root else drive)/'MyDrive/T-L-GPT2'   # where the files really are
        if root: subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', d/'cloud'], check=True)
        try:
            project.mkdir(parents=True)
            shutil.copy(wheel, project)
            shutil.copy(NOTEBOOK, d/'page')
            yield d, project, env
        finally:
            if root: [subprocess.run(['umount', '-l', p], capture_output=True) for p in (drive, d/'cloud')]

@contextmanager
def jupyterlab(python, folder, env):
    "The address of a server with settings of its own, and its process"
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    for name, values in SETTINGS.items():
        (f := folder/f'settings/@jupyterlab/{name}.jupyterlab-settings').parent.mkdir(parents=True, exist_ok=True)
        f.write_text(json.dumps(values))
    env = {**os.environ, **env, 'JUPYTER_CONFIG_DIR': str(folder/'config'), 'JUPYTERLAB_SETTINGS_DIR': str(folder/'settings'), 'JUPYTERLAB_WORKSPACES_DIR': str(folder/'workspaces')}
    with open(folder/'server.log', 'w') as log:
        p = subprocess.Popen([python, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', '--port-retries=0', '--IdentityProvider.token=', '--ServerApp.password=',
            f'--ServerApp.root_dir={folder}/page', '--LabApp.news_url=', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', '--LabApp.extension_manager=readonly'], stdout=log, stderr=log, env=env)
    try:
        for _ in range(300):
            try: urllib.request.urlopen(f'http://127.0.0.1:{port}/api/status', timeout=1).read(); break
            except OSError: time.sleep(.1)
        else: raise AssertionError('JupyterLab did not start:\n' + (folder/'server.log').read_text()[-3000:])
        yield f'http://127.0.0.1:{port}', psutil.Process(p.pid)
    finally:
        p.terminate()
        try: p.wait(10)
        except subprocess.TimeoutExpired: p.kill()

class Page:
    "The quickstart's page, and what a person does on it"
    def __init__(self, page, address, pictures):
        self.page, self.address, self.pictures, self.frames = page, address, pictures, []
        page.on('dialog', lambda d: d.accept())   # leave the page? yes
        page.on('websocket', lambda ws: ws.on('framereceived', lambda f: self.frames.append(len(f))))
    def open(self):
        self.page.goto(f'{self.address}/lab/tree/{NOTEBOOK.name}?reset')
        self.page.wait_for_selector('#jupyterlab-splash', state='detached', timeout=60000)
        self.nb = self.page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)')
        self.nb.locator('.jp-Cell').first.wait_for(timeout=60000)
        self.panel = self.nb.locator('.jp-OutputArea-output .widget-vbox').first
        self.page.wait_for_timeout(1000)   # a kernel that comes back is not listening at once
        self.wait(self.idle, 'a kernel')
    def idle(self): return re.search(r'Python 3.*\| Idle', self.page.locator('#jp-main-statusbar').inner_text())
    def prompts(self): return [p.strip() for p in self.nb.locator('.jp-CodeCell .jp-InputPrompt').all_inner_texts()]
    def text(self): return '\n'.join(self.nb.locator('.jp-OutputArea-output').all_inner_texts())
    def wait(self, condition, what, seconds=120):
        end = time.monotonic() + seconds
        while not (got := condition()):
            if time.monotonic() > end:
                raise AssertionError(f'waited {seconds} s for {what}; prompts {self.prompts()}; outputs:\n{self.text()[-3000:]}')
            self.page.wait_for_timeout(200)
        return got
    def run_all(self):
        "Click 'Run All Cells', and see it begin"
        before = self.prompts()
        self.page.get_by_role('menuitem', name='Run', exact=True).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        self.wait(lambda: self.prompts() != before, 'cells to run')
    def done(self, seconds=300, stopped=False):
        "Wait until no cell runs; outputs as text. All have passed, unless training was stopped"
        self.wait(lambda: '[*]:' not in self.prompts() and self.idle(), 'all cells', seconds)
        text, passed = self.text(), all(re.fullmatch(r'\[\d+\]:', p) for p in self.prompts())
        assert passed != stopped and 'Traceback' not in text, (self.prompts(), text[-3000:])
        return text
    def label(self, text): return self.page.locator('.widget-label', has_text=re.compile(f'^{text}$'))
    def field(self, label): return self.panel.locator('.widget-inline-hbox', has=self.label(label))
    def set(self, label, value):
        field = self.field(label).locator('input')
        field.fill(str(value))
        field.press('Tab')
        self.page.wait_for_timeout(500)
    def note(self, label): return self.panel.locator('.widget-hbox', has=self.label(label)).last.locator('.widget-html-content')
    def plan(self): return self.panel.locator('.widget-html-content').last.inner_text()
    def picture(self, name, cell=None):
        self.page.wait_for_timeout(500)
        where = self.page if cell is None else self.nb.locator('.jp-CodeCell').nth(cell)
        if cell is not None: where.scroll_into_view_if_needed()
        where.screenshot(path=str(self.pictures/f'{name}.png'))

PANEL, TRAIN = 2, 4   # code cells
MANY = 4000   # epochs that do not come to an end here

def first_run(p, project):
    p.open()
    p.run_all()
    text = p.done(600)   # with the installation
    assert 'timellm from' in text and '.whl' in text and 'Finished: all 2 epochs' in text and 'MSE' in text, text
    picture = p.nb.locator('.jp-CodeCell').nth(6).locator('img')
    assert picture.evaluate('i => i.naturalWidth') > 300, 'no picture of the forecast'
    assert 'step 390, epoch 2 completed' in p.plan(), p.plan()   # the panel knows the new checkpoints
    p.picture('1-panel-after-run-all', PANEL), p.picture('2-training', TRAIN), p.picture('3-result', 5), p.picture('4-forecast', 6)

def choices(p, project):
    p.set('Resume from', 'nowhere/checkpoint')
    note = p.note('Resume from')
    expect(note).to_contain_text("no checkpoint at 'nowhere/checkpoint'", timeout=10000)
    box, field = note.bounding_box(), p.field('Resume from').bounding_box()
    assert box['x'] >= field['x'] + field['width'] - 1 and box['y'] < field['y'] + field['height'], 'the error is not beside its field'
    red = note.locator('div').first.evaluate('e => getComputedStyle(e).color')
    assert red == 'rgb(176, 0, 32)', red
    p.picture('5-wrong-resume-path', PANEL)
    p.panel.get_by_text('Backbone, window, saving, patience').click()
    p.set('Resume from', 'auto')
    found = p.field('Found').locator('select')
    found.select_option(index=next(i for i, o in enumerate(found.locator('option').all_text_contents()) if o.startswith('step\xa0390')))
    expect(p.field('Resume from').locator('input')).to_have_value(re.compile('checkpoint_step_390/checkpoint.pt$'), timeout=10000)
    p.set('Layers', 1)
    expect(p.note('Layers')).to_contain_text('2 in the checkpoint, now 1 (fixed by the checkpoint', timeout=10000)
    p.picture('6-locked-field', PANEL)
    p.set('Layers', 2)
    expect(p.note('Layers')).to_have_text('fixed by the checkpoint', timeout=10000)
    step = max(step_files(project/'checkpoints'))
    [path] = [f'{f.parent.name}/{f.name}' for f in project.glob(f'checkpoints/*/checkpoint_step_{step}')]
    p.set('Batch size', 64), p.set('Epochs', 3), p.set('Resume from', f'checkpoints/{path}')
    assert 'epoch 2 completed' in p.plan(), p.plan()
    p.run_all()
    text = p.done()
    assert re.search(rf'Resumed at epoch 2, .* from \S*{path}/checkpoint.pt', text) and 'Changed on resume: batch_size 16 -> 64' in text and 'Finished: all 3 epochs' in text, text
    kept = json.loads((project/'quickstart_choices.json').read_text())
    assert kept['batch_size'] == 64 and 'resume_from_checkpoint' not in kept, kept   # used once
    assert p.field('Batch size').locator('input').input_value() == '64'

def step_files(*folders): return [int(f.parent.name.split('_')[-1]) for folder in folders for f in folder.glob('*/checkpoint_step_*/checkpoint.pt')]

def killed(p, project, server):
    p.panel.get_by_text('Backbone, window, saving, patience').click()
    p.set('Patience', MANY), p.set('Epochs', MANY)
    here = [project/'checkpoints', project.parents[2]/'cache/work']   # in the project folder, or on the way to it
    before = max(step_files(*here))
    p.run_all()
    p.wait(lambda: max(step_files(*here)) > before, 'a new checkpoint')
    p.picture('7-live-view', TRAIN)
    [kernel] = [c for c in server.children(recursive=True) if 'ipykernel_launcher' in ' '.join(c.cmdline())]
    kernel.kill()
    newest = max(step_files(*here))
    p.page.wait_for_timeout(3000)
    p.open()
    p.run_all()
    step = int(p.wait(lambda: re.search(r'Resumed at epoch \d+, global_step (\d+) ', p.text()), 'a resume')[1])
    assert step >= newest > before, (step, newest, before)
    assert p.field('Epochs').locator('input').input_value() == str(MANY)
    return step

def stopped(p, project, polls):
    "Training runs: the button of the page stops it where the kernel can hear it; then the kernel's interrupt"
    for way in (['button'] if polls else []) + ['interrupt']:
        if way == 'interrupt' and polls: p.run_all()
        p.wait(lambda: re.search(r's a step', p.nb.locator('.jp-CodeCell').nth(TRAIN).inner_text()), 'the live view')
        button = p.nb.get_by_role('button', name='Save and stop')
        if polls: button.wait_for(state='visible', timeout=60000)
        else: assert button.is_hidden()
        n, begun, step = len(p.frames), time.monotonic(), lambda: int(re.findall(r'Epoch \d+/\d+, step (\d+):', p.nb.locator('.jp-CodeCell').nth(TRAIN).inner_text())[-1])
        first = step()
        p.page.wait_for_timeout(8000)
        steps, frames = step() - first, p.frames[n:]
        print(f'  live view, {way}: {steps} steps in {time.monotonic() - begun:.1f} s, {len(frames)/steps:.2f} messages and {sum(frames)/steps:,.0f} bytes a step', flush=True)
        p.picture(f'8-before-{way}', TRAIN)
        if way == 'button': button.click()
        else: p.page.locator('[data-command="notebook:interrupt-kernel"], jp-button[title^="Interrupt"], button[title^="Interrupt"]').first.click()
        text = p.done(stopped=True)
        at = int(re.findall(r'Stopped at step (\d+), saved in', text)[-1])
        assert at in step_files(project/'checkpoints'), (at, step_files(project/'checkpoints'))
        p.picture(f'9-after-{way}', TRAIN)

def keep(p, folder):
    "Run the demo; screenshots of panel and live view, and the outputs of result and forecast, into the notebook of this repository"
    p.open()
    p.run_all()
    p.done(1200)
    def small(png):
        Image.open(io.BytesIO(png)).quantize(256).save(out := io.BytesIO(), 'png', optimize=True)
        return base64.b64encode(out.getvalue()).decode()
    def screenshot(cell):
        png = p.nb.locator('.jp-CodeCell').nth(cell).locator('.jp-OutputArea-output .widget-vbox').first.screenshot()
        return [dict(output_type='display_data', metadata={}, data={'image/png': small(png), 'text/plain': ['<picture of the widgets>']})]
    def kept(outputs):   # neither progress bars nor paths of this machine
        for o in outputs:
            if png := o.get('data', {}).get('image/png'): o['data'].update({'image/png': small(base64.b64decode(png)), 'text/plain': ['<picture of the forecast>']})
            if png or 'text/html' in o.get('data', {}) or 'text' in o and 'site-packages' not in ''.join(o['text']): yield o
    pictures = {PANEL: screenshot(PANEL), TRAIN: screenshot(TRAIN)}
    p.page.keyboard.press('Control+s')
    code = lambda path: [c for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    p.wait(lambda: code(folder/'page'/NOTEBOOK.name)[6]['outputs'], 'the notebook to be saved')
    nb, ran = json.loads(NOTEBOOK.read_text()), code(folder/'page'/NOTEBOOK.name)
    for i, cell in enumerate(c for c in nb['cells'] if c['cell_type'] == 'code'): cell['outputs'] = pictures.get(i, list(kept(ran[i]['outputs'])) if i in (5, 6) else [])
    NOTEBOOK.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n')

def main(python, wheel, pictures, *kept):
    begun, pictures = time.monotonic(), Path(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([python, '-c', 'import ipykernel; print(ipykernel.__version__)'], capture_output=True, text=True, check=True).stdout.strip()
    with colab(wheel, *(('/content/drive', 'demo') if kept else ())) as (folder, project, env), jupyterlab(python, folder, env) as (address, server), sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-dev-shm-usage'])
        p = Page(browser.new_page(viewport=dict(width=1300, height=1400)), address, pictures)
        parts = dict(keep=lambda: keep(p, folder)) if kept else {'first run': lambda: first_run(p, project), 'choices': lambda: choices(p, project), 'killed': lambda: killed(p, project, server),
            'stopped': lambda: stopped(p, project, int(version.split('.')[0]) < 7)}
        for name, part in parts.items():
            try: part()
            except BaseException: p.picture('failed'); raise
            print(f'ipykernel {version}: {name} passed, {time.monotonic() - begun:.0f} s', flush=True)
        browser.close()

if __name__ == '__main__': main(*sys.argv[1:]) if len(sys.argv) in (4, 5) else sys.exit(__doc__)
