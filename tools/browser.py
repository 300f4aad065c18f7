#!/usr/bin/env python3
"""The quickstart in JupyterLab in headless Chromium, as a person uses it:

    python tools/browser.py PYTHON WHEEL PICTURES [keep [zh]]

PYTHON    interpreter of an environment with jupyterlab, ipywidgets, ipykernel and torch;
          timellm is installed by the notebook's first cell
WHEEL     wheel of timellm, put into the project folder
PICTURES  folder for the screenshots

Widgets are set and clicked, the kernel is killed in mid-training, the page is loaded again.
As root the project folder is on a mount that a stand-in for google.colab makes, else it is an ordinary folder.
Needs playwright, psutil, and Chromium or Chrome.
With the word keep (as root) the demo is run instead,
and what it shows becomes the saved outputs of nbs/00_colab_quickstart.ipynb.
With keep zh it is that of the Chinese one; tools/build.py zh then leaves the panel's picture and takes the others from
the English.
"""
import base64, io, json, os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from PIL import Image
from playwright.sync_api import expect, sync_playwright

IN_CHINESE = sys.argv[-1] == 'zh'
NAME = '00_colab_quickstart_zh.ipynb' if IN_CHINESE else '00_colab_quickstart.ipynb'
NOTEBOOK = Path(__file__).resolve().parent.parent/'nbs'/NAME
KERNEL = """
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
class Shell(ZMQInteractiveShell): "Colab's, too, says that it is of google.colab"
class Kernel(IPythonKernel):
    def _shell_class_default(self): return Shell
"""
BROWSERS = [shutil.which(name) for name in ('chromium', 'google-chrome', 'chromium-browser')]
CHROMIUM = next(filter(None, BROWSERS), None)
SETTINGS = {
    'notebook-extension/tracker': dict(windowingMode='none'),
    'apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False)}
OPTIONS = [   # of the server: no browser, no password, no news
    '--no-browser', '--allow-root', '--ip=127.0.0.1', '--port-retries=0',
    '--IdentityProvider.token=', '--ServerApp.password=', '--LabApp.news_url=',
    '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', '--LabApp.extension_manager=readonly']
STAND_IN = '''
import os, subprocess
def mount(path):
    if os.path.ismount(path): print(f'Drive already mounted at {path}')
    else: subprocess.run(['mount', '--bind', os.environ['CLOUD'], path], check=True); print(f'Mounted at {path}')
'''

class Place(NamedTuple):
    "A folder for one run of the quickstart"
    folder: Path   # with the notebook in page/
    project: Path   # where the project's files really are
    env: dict   # environment that leads the notebook there

def mount(*args): subprocess.run(['mount', *args], check=True)
def unmount(path): subprocess.run(['umount', '-l', path], capture_output=True)

def stand_in(folder):
    "A package google.colab in `folder`, whose drive.mount binds a folder"
    package = folder/'google'/'colab'
    package.mkdir(parents=True)
    (package/'__init__.py').write_text('')
    (package/'drive.py').write_text(STAND_IN)
    (package/'_kernel.py').write_text(KERNEL)
    profile = folder/'ipython/profile_default'
    profile.mkdir(parents=True)
    (profile/'ipython_kernel_config.py').write_text("c.IPKernelApp.kernel_class = 'google.colab._kernel.Kernel'")

@contextmanager
def colab(wheel, drive='', preset='tiny'):
    "A `Place` with the notebook, and a stand-in for Drive with the wheel in it"
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix='browser', ignore_cleanup_errors=True) as d:
        d = Path(d)
        cloud, drive = d/'cloud', Path(drive or d/'drive')
        for p in (cloud, d/'page', drive): p.mkdir(parents=True, exist_ok=True)
        stand_in(d)
        env = dict(TIMELLM_PROJECT_DIR=str(drive/'MyDrive/T-L-GPT2'), TIMELLM_PRESET=preset, TIMELLM_LANG='en')
        env.update(TIMELLM_CACHE=str(d/'cache'), CLOUD=str(cloud))
        if root: env.update(PYTHONPATH=str(d), IPYTHONDIR=str(d/'ipython'), TIMELLM_DRIVE=str(drive))
        project = (cloud if root else drive)/'MyDrive/T-L-GPT2'
        if root: mount('-t', 'tmpfs', 'tmpfs', cloud)
        try:
            project.mkdir(parents=True)
            shutil.copy(wheel, project)
            shutil.copy(NOTEBOOK, d/'page')
            yield Place(d, project, env)
        finally:
            if root:
                unmount(drive)
                unmount(cloud)

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def server_env(folder, env):
    "The environment of a server with settings of its own, in `folder`"
    for name, values in SETTINGS.items():
        file = folder/f'settings/@jupyterlab/{name}.jupyterlab-settings'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    own = dict(JUPYTER_CONFIG_DIR='config', JUPYTERLAB_SETTINGS_DIR='settings', JUPYTERLAB_WORKSPACES_DIR='workspaces')
    own = {name: str(folder/below) for name, below in own.items()}
    return {**os.environ, **env, **own}

def wait_for_server(address, log):
    "Return once the server answers; at most half a minute"
    for _ in range(300):
        try: return urllib.request.urlopen(f'{address}/api/status', timeout=1).read()
        except OSError: time.sleep(.1)
    raise AssertionError('JupyterLab did not start:\n' + log.read_text()[-3000:])

@contextmanager
def jupyterlab(python, folder, env):
    "The address of a server, and its process"
    port, log = free_port(), folder/'server.log'
    command = [python, '-m', 'jupyterlab', *OPTIONS, f'--port={port}', f'--ServerApp.root_dir={folder}/page']
    whole = server_env(folder, env)
    with open(log, 'w') as f: p = subprocess.Popen(command, stdout=f, stderr=f, env=whole)
    address = f'http://127.0.0.1:{port}'
    try:
        wait_for_server(address, log)
        yield address, psutil.Process(p.pid)
    finally:
        p.terminate()
        try: p.wait(10)
        except subprocess.TimeoutExpired: p.kill()

class Page:
    "The quickstart's page, and what a person does on it"
    def __init__(self, page, address, pictures):
        self.page = page
        self.address = address
        self.pictures = pictures
        self.frames = []   # bytes of each message from the server
        page.on('dialog', lambda d: d.accept())   # leave the page? yes
        def count(frame): self.frames.append(len(frame))
        page.on('websocket', lambda ws: ws.on('framereceived', count))
    def open(self):
        self.page.goto(f'{self.address}/lab/tree/{NOTEBOOK.name}?reset')
        self.page.wait_for_selector('#jupyterlab-splash', state='detached', timeout=60000)
        self.nb = self.page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)')
        self.nb.locator('.jp-Cell').first.wait_for(timeout=60000)
        self.panel = self.nb.locator('.jp-OutputArea-output .widget-vbox').first
        self.page.wait_for_timeout(1000)   # a kernel that comes back is not listening at once
        self.wait(self.idle, 'a kernel')
    def idle(self): return re.search(r'Python 3.*\| Idle', self.page.locator('#jp-main-statusbar').inner_text())
    def prompts(self):
        texts = self.nb.locator('.jp-CodeCell .jp-InputPrompt').all_inner_texts()
        return [p.strip() for p in texts if p.strip()]   # a folded cell shows none
    def text(self): return '\n'.join(self.nb.locator('.jp-OutputArea-output').all_inner_texts())
    def wait(self, condition, what, seconds=120):
        end = time.monotonic() + seconds
        while not (got := condition()):
            if time.monotonic() > end:
                state = f'prompts {self.prompts()}; outputs:\n{self.text()[-3000:]}'
                raise AssertionError(f'waited {seconds} s for {what}; {state}')
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
        text = self.text()
        passed = all(re.fullmatch(r'\[\d+\]:', p) for p in self.prompts())
        assert passed != stopped and 'Traceback' not in text, (self.prompts(), text[-3000:])
        return text
    def label(self, text): return self.page.locator('.widget-label', has_text=re.compile(f'^{text}$'))
    def field(self, label): return self.panel.locator('.widget-inline-hbox', has=self.label(label))
    def set(self, label, value):
        field = self.field(label).locator('input')
        field.fill(str(value))
        field.press('Tab')
        self.page.wait_for_timeout(500)
    def value(self, label): return self.field(label).locator('input').input_value()
    def note(self, label):
        row = self.panel.locator('.widget-hbox', has=self.label(label)).last
        return row.locator('.widget-html-content')
    def plan(self, *parts):
        "The plan's text, once it has all parts: it takes some seconds to be made"
        plan = self.panel.locator('.widget-html-content').last
        for part in parts: expect(plan).to_contain_text(part, timeout=20000)
        return plan.inner_text()
    def cell(self, n): return self.nb.locator('.jp-CodeCell').nth(n)
    def picture(self, name, cell=None):
        self.page.wait_for_timeout(500)
        where = self.page if cell is None else self.cell(cell)
        if cell is not None: where.scroll_into_view_if_needed()
        where.screenshot(path=str(self.pictures/f'{name}.png'))

FIRST, PANEL, TRAIN, RESULT, FORECAST = (n + IN_CHINESE for n in (2, 3, 5, 6, 7))   # code cells; one sets the language
MANY = 4000   # epochs that do not come to an end here
FOLDED = 'Backbone, window, saving, patience'
INTERRUPT = ', '.join((   # JupyterLab's own button
    '[data-command="notebook:interrupt-kernel"]',
    'jp-button[title^="Interrupt"]',
    'button[title^="Interrupt"]'))

def contains(text, *parts):
    for part in parts: assert part in text, (part, text)

def first_run(p, project):
    p.open()
    p.run_all()
    text = p.done(600)   # with the installation
    contains(text, 'timellm from', '.whl', 'Finished: all 2 epochs', 'MSE')
    for cell in (FIRST, FORECAST):
        picture = p.cell(cell).locator('img')
        assert picture.evaluate('i => i.naturalWidth') > 300, f'no picture of a forecast in code cell {cell}'
    p.plan('step 390, epoch 2 completed')   # the panel knows the new checkpoints
    p.picture('0-first-forecast', FIRST)
    p.picture('1-panel-after-run-all', PANEL)
    p.picture('2-training', TRAIN)
    p.picture('3-result', RESULT)
    p.picture('4-forecast', FORECAST)

def wrong_path(p):
    "A resume path that leads nowhere: a red error beside its field"
    p.set('Resume from', 'nowhere/checkpoint')
    note = p.note('Resume from')
    expect(note).to_contain_text("no checkpoint at 'nowhere/checkpoint'", timeout=10000)
    box, field = note.bounding_box(), p.field('Resume from').bounding_box()
    right = box['x'] >= field['x'] + field['width'] - 1
    assert right and box['y'] < field['y'] + field['height'], 'the error is not beside its field'
    red = note.locator('div').first.evaluate('e => getComputedStyle(e).color')
    assert red == 'rgb(176, 0, 32)', red
    p.picture('5-wrong-resume-path', PANEL)

def locked_field(p):
    "A checkpoint is chosen from those found; its number of layers cannot be changed"
    p.panel.get_by_text(FOLDED).click()
    p.set('Resume from', 'auto')
    found = p.field('Found').locator('select')
    options = found.locator('option').all_text_contents()
    found.select_option(index=next(i for i, o in enumerate(options) if o.startswith('step\xa0390')))
    chosen = p.field('Resume from').locator('input')
    expect(chosen).to_have_value(re.compile('checkpoint_step_390/checkpoint.pt$'), timeout=10000)
    p.set('Layers', 1)
    note = p.note('Layers')
    expect(note).to_contain_text('2 in the checkpoint, now 1 (fixed by the checkpoint', timeout=10000)
    p.picture('6-locked-field', PANEL)
    p.set('Layers', 2)
    expect(note).to_have_text('fixed by the checkpoint', timeout=10000)

def choices(p, project):
    wrong_path(p)
    locked_field(p)
    step = max(step_files(project/'checkpoints'))
    [folder] = project.glob(f'checkpoints/*/checkpoint_step_{step}')
    path = f'{folder.parent.name}/{folder.name}'
    p.set('Batch size', 64)
    p.set('Epochs', 3)
    p.set('Resume from', f'checkpoints/{path}')
    p.plan('epoch 2 completed')
    p.run_all()
    text = p.done()
    assert re.search(rf'Resumed at epoch 2, .* from \S*{path}/checkpoint.pt', text), text
    contains(text, 'Changed on resume: batch_size 16 -> 64', 'Finished: all 3 epochs')
    kept = json.loads((project/'quickstart_choices.json').read_text())
    assert kept['batch_size'] == 64 and 'resume_from_checkpoint' not in kept, kept   # used once
    assert p.value('Batch size') == '64'

def own_table(p, project):
    "A table of one's own, whose dates can be read in two ways: the folded fields settle it"
    hours = [f'{d:02}.{m:02}.2022 {h:02}:00' for m in (5, 6) for d in range(1, 13) for h in range(24)]
    gap = slice(200, 203)
    rows = [f'{hour};{i % 24};{i}' for i, hour in enumerate(hours[:288])]
    del rows[gap]
    (project/'own.csv').write_text('\n'.join(['Zeit;Wind;Preis', *rows]))
    p.panel.get_by_text(FOLDED).click()
    p.field('Data').locator('select').select_option(label='custom')
    p.set('CSV file', project/'own.csv')
    note = p.note('CSV file')
    expect(note).to_contain_text('date_column', timeout=10000)
    p.set('Date column', 'Zeit')
    expect(note).to_contain_text('may be read with the day or the month first', timeout=10000)
    p.set('Dates', 'dayfirst')
    expect(note).to_be_empty(timeout=10000)
    p.plan('own.csv', '3 periods (step: h)')
    p.set('Resample', '1h mean 3')
    p.plan('3 steps had no row and were filled')
    p.set('Target', 'Wnd')
    expect(note).to_contain_text('did you mean Wind?', timeout=10000)
    p.set('Target', 'Wind')
    expect(note).to_be_empty(timeout=10000)
    p.set('Id column', 'shop')
    expect(note).to_contain_text("no column id_column='shop'", timeout=10000)
    p.picture('6b-own-table', PANEL)
    for label in ('Id column', 'Target', 'Resample', 'Dates', 'Date column', 'CSV file'): p.set(label, '')
    p.field('Data').locator('select').select_option(label='synthetic')
    p.panel.get_by_text(FOLDED).click()

def step_files(*folders):
    "The steps of all step checkpoints below `folders`"
    files = [f for folder in folders for f in folder.glob('*/checkpoint_step_*/checkpoint.pt')]
    return [int(f.parent.name.split('_')[-1]) for f in files]

def kernel_of(server):
    children = server.children(recursive=True)
    [kernel] = [c for c in children if 'ipykernel_launcher' in ' '.join(c.cmdline())]
    return kernel

def killed(p, project, server):
    p.panel.get_by_text(FOLDED).click()
    p.set('Patience', MANY)
    p.set('Epochs', MANY)
    here = [project/'checkpoints', project.parents[2]/'cache/work']   # in the project folder, or on the way to it
    before = max(step_files(*here))
    p.run_all()
    p.wait(lambda: max(step_files(*here)) > before, 'a new checkpoint')
    p.picture('7-live-view', TRAIN)
    kernel_of(server).kill()
    newest = max(step_files(*here))
    p.page.wait_for_timeout(3000)
    p.open()
    p.run_all()
    resumed = p.wait(lambda: re.search(r'Resumed at epoch \d+, global_step (\d+) ', p.text()), 'a resume')
    step = int(resumed[1])
    assert step >= newest > before, (step, newest, before)
    assert p.value('Epochs') == str(MANY)

def training_step(p):
    "The newest step that the live view shows"
    return int(re.findall(r'Epoch \d+/\d+, step (\d+):', p.cell(TRAIN).inner_text())[-1])

def watch(p, way):
    "Print what eight seconds of the live view cost"
    n, begun, first = len(p.frames), time.monotonic(), training_step(p)
    p.page.wait_for_timeout(8000)
    steps, frames = training_step(p) - first, p.frames[n:]
    each = f'{len(frames)/steps:.2f} messages and {sum(frames)/steps:,.0f} bytes a step'
    print(f'  live view, {way}: {steps} steps in {time.monotonic() - begun:.1f} s, {each}', flush=True)

def stop_by(p, project, way, polls):
    "Training runs: stop it by the page's button, or by the kernel's interrupt, and find the checkpoint of that step"
    p.wait(lambda: 's a step' in p.cell(TRAIN).inner_text(), 'the live view')
    button = p.nb.get_by_role('button', name='Save and stop')
    if polls: button.wait_for(state='visible', timeout=60000)
    else: assert button.is_hidden()
    watch(p, way)
    p.picture(f'8-before-{way}', TRAIN)
    if way == 'button': button.click()
    else: p.page.locator(INTERRUPT).first.click()
    text = p.done(stopped=True)
    at = int(re.findall(r'Stopped at step (\d+), saved in', text)[-1])
    steps = step_files(project/'checkpoints')
    assert at in steps, (at, steps)
    p.picture(f'9-after-{way}', TRAIN)

def stopped(p, project, polls):
    "The button of the page stops training where the kernel can hear it; the kernel's interrupt does always"
    if polls:
        stop_by(p, project, 'button', polls)
        p.run_all()
    stop_by(p, project, 'interrupt', polls)

def small(png):
    "A picture with 256 colours, as base64"
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(256).save(out, 'png', optimize=True)
    return base64.b64encode(out.getvalue()).decode()

def screenshot(p, cell):
    "An output that shows the widgets of a cell"
    png = p.cell(cell).locator('.jp-OutputArea-output .widget-vbox').first.screenshot()
    data = {'image/png': small(png), 'text/plain': ['<picture of the widgets>']}
    return [dict(output_type='display_data', metadata={}, data=data)]

def kept(outputs):
    "Yield pictures, tables and texts, but no progress bars and no paths of this machine"
    for o in outputs:
        data = o.get('data', {})
        png = data.get('image/png')
        if png: data.update({'image/png': small(base64.b64decode(png)), 'text/plain': ['<picture of the forecast>']})
        text = 'text' in o and 'site-packages' not in ''.join(o['text'])
        if png or text or 'text/html' in data: yield o

def code_cells(nb): return [c for c in nb['cells'] if c['cell_type'] == 'code']

def keep(p, folder):
    "Run the demo; screenshots of panel and live view, and the outputs of result and forecast, into this notebook"
    p.open()
    p.run_all()
    p.done(1200)
    outputs = {PANEL: screenshot(p, PANEL), TRAIN: screenshot(p, TRAIN)}
    p.page.keyboard.press('Control+s')
    def ran(): return code_cells(json.loads((folder/'page'/NOTEBOOK.name).read_text()))
    p.wait(lambda: ran()[FORECAST]['outputs'], 'the notebook to be saved')
    cells = ran()
    for n in (FIRST, RESULT, FORECAST): outputs[n] = list(kept(cells[n]['outputs']))
    nb = json.loads(NOTEBOOK.read_text())
    for n, cell in enumerate(code_cells(nb)): cell['outputs'] = outputs.get(n, [])
    NOTEBOOK.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n')

def ipykernel_version(python):
    command = [python, '-c', 'import ipykernel; print(ipykernel.__version__)']
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

def checks(p, place, server, version):
    "What is done on the page, by name"
    polls = int(version.split('.')[0]) < 7   # a newer kernel hears no click while a cell runs
    return {
        'first run': lambda: first_run(p, place.project),
        'choices': lambda: choices(p, place.project),
        'own table': lambda: own_table(p, place.project),
        'killed': lambda: killed(p, place.project, server),
        'stopped': lambda: stopped(p, place.project, polls)}

def run_parts(p, parts, version, begun):
    for name, part in parts.items():
        try: part()
        except BaseException:
            p.picture('failed')
            raise
        print(f'ipykernel {version}: {name} passed, {time.monotonic() - begun:.0f} s', flush=True)

def main(python, wheel, pictures, *words):
    begun, pictures = time.monotonic(), Path(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    version = ipykernel_version(python)
    where = ('/content/drive', 'demo') if words else ()
    with ExitStack() as stack:
        place = stack.enter_context(colab(wheel, *where))
        address, server = stack.enter_context(jupyterlab(python, place.folder, place.env))
        pw = stack.enter_context(sync_playwright())
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-dev-shm-usage'])
        page = browser.new_page(viewport=dict(width=1300, height=1400))
        p = Page(page, address, pictures)
        parts = dict(keep=lambda: keep(p, place.folder)) if words else checks(p, place, server, version)
        run_parts(p, parts, version, begun)
        browser.close()

if __name__ == '__main__':
    if len(sys.argv) not in (4, 5, 6): sys.exit(__doc__)
    main(*sys.argv[1:])
