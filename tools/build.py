#!/usr/bin/env python3
"""What is made from the notebooks and settings.ini: python tools/build.py TARGET ...

readme        README.md from nbs/index.ipynb, its picture from the quickstart's first forecast
quickstart    the git address in the quickstart's first cell, from settings.ini (none set: the cell asks for a wheel)
zh            nbs/00_colab_quickstart_zh.ipynb from the quickstart, its paragraphs in Chinese from tools/zh.txt;
              exits 1 where a paragraph is new or has changed; the commands of README.zh.md, from README.md
script        the table of what may change on resume at the top of the training script
architecture  table and drawing of the rooms for nbs/15_architecture.ipynb; exits 1 where a room imports upwards
citation      the version in CITATION.cff, from settings.ini
docs          the site in _docs/, without Quarto: nbdev applies its directives, smalldocs renders (outputs as saved);
              every notebook is in the menu, every link leads somewhere (how it looks: tools/pages.py)
"""
import base64, json, re, shutil, subprocess, sys, tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import rooms, yaml
from execnb.nbio import mk_cell, read_nb, write_nb
from nbdev.config import get_config

TOP = Path(__file__).resolve().parent.parent
NBS = TOP/'nbs'
NOTEBOOK = re.compile(r'\]\((?:\./)?((?:\w+/)?\w+\.(?:ipynb|png))')
SET_UP = re.compile('(?m)^python3 -m venv .* && .*')
NEW = 'New or changed: tools/zh.txt needs this paragraph, a line =>, and its Chinese:'
ZH_QUICKSTART = NBS/'00_colab_quickstart_zh.ipynb'
CODE = re.compile(r'(?ms)^```\w+\n.*?^```$')
COMMENT = re.compile(r'(?m)(?<=\S)( +# )(.+)$')   # at the end of a line
COLAB = 'https://colab.research.google.com'

def badge(notebook='00_colab_quickstart'):
    "Opens a quickstart in Colab; nothing while settings.ini names no owner and no GitHub address"
    c = get_config()
    if not c.user or 'github.com' not in c.git_url: return ''
    address = f'{COLAB}/github/{c.user}/{c.repo}/blob/{c.branch}/nbs/{notebook}.ipynb'
    return f'[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({address})'

def replaced(pattern, new, text, wanted):
    "`text` with the one match of `pattern` replaced by `new`; exits if there is not exactly one"
    text, n = re.subn(pattern, lambda m: new, text)
    if n != 1: sys.exit(f'{wanted}: found {n} times, once is needed')
    return text

def first_forecast():
    "The picture that the quickstart shows before any training, as a file"
    nb = read_nb(NBS/'00_colab_quickstart.ipynb')
    cell = next(c for c in nb.cells if c.id == 'first-forecast')
    shown = [o.get('data', {}) for o in cell.outputs]
    [png] = [data['image/png'] for data in shown if 'image/png' in data]
    (NBS/'first_forecast.png').write_bytes(base64.b64decode(png))

def write_readme(path, text):
    "A file whose links all lead somewhere"
    links = re.findall(r'\]\((?!https?:)([^)#]+)', text)
    wrong = [link for link in links if not (TOP/link).exists()]
    if wrong: sys.exit(f'{path.name} leads to what is not there: {wrong}')
    path.write_text(text, encoding='utf-8')

def readme():
    first_forecast()
    parts = []
    for c in read_nb(NBS/'index.ipynb').cells:
        if c.cell_type == 'markdown': parts.append(NOTEBOOK.sub(r'](nbs/\1', c.source))
        elif '#| hide' not in c.source: parts.append(f'```python\n{c.source}\n```')
    parts.insert(1, '[中文说明](README.zh.md)')
    if badge(): parts.insert(1, badge())
    parts.append('[CONTRIBUTING.md](CONTRIBUTING.md) tells how to change the code.')   # no page of the site
    text = '<!-- made from nbs/index.ipynb by tools/build.py readme -->\n\n' + '\n\n'.join(parts) + '\n'
    write_readme(TOP/'README.md', text)

def with_badge(text, badge=''):
    "Paragraphs without a badge, or behind another one"
    paragraphs = [p for p in text.split('\n\n') if not p.startswith('[![Open In Colab]')]
    return '\n\n'.join(filter(None, [badge, *paragraphs]))

def quickstart():
    path = NBS/'00_colab_quickstart.ipynb'
    nb = read_nb(path)
    cell = next(c for c in nb.cells if c.cell_type == 'code')
    git_url = get_config().git_url
    address = f'git+{git_url}' if git_url else ''
    line = f"GIT_ADDRESS = '{address}'"
    cell.source = replaced(r"(?m)^GIT_ADDRESS = '.*'$", line, cell.source, f'{path}: the line GIT_ADDRESS = ...')
    nb.cells[1].source = with_badge(nb.cells[1].source, badge())
    write_nb(nb, path)

class Chinese:
    "The Chinese of English paragraphs, from tools/zh.txt"
    path = TOP/'tools'/'zh.txt'
    def __init__(self):
        entries = self.path.read_text(encoding='utf-8').strip().split('\n\n')[1:]   # the first explains the file
        wrong = [entry for entry in entries if entry.count('\n=>\n') != 1]
        if wrong: sys.exit(f'tools/zh.txt: an entry needs one line =>:\n\n{wrong[0]}')
        self.pairs = dict(entry.split('\n=>\n') for entry in entries)
        self.asked = []   # in their order
    def of(self, english):
        self.asked.append(english)
        return self.pairs.get(english, '')
    def of_all(self, text): return '\n\n'.join(self.of(p) for p in text.split('\n\n'))
    def check(self):
        "Exit where a paragraph has no Chinese, or an entry no paragraph"
        new = [f'{NEW}\n\n{p}' for p in self.asked if p not in self.pairs]
        old = [f'In tools/zh.txt, but no longer in the English:\n\n{p}' for p in self.pairs if p not in self.asked]
        if new or old: sys.exit('\n\n'.join(new + old))

def zh():
    words = Chinese()
    nb, text = zh_quickstart(words), zh_readme(words)
    words.check()
    write_nb(nb, ZH_QUICKSTART)
    write_readme(TOP/'README.zh.md', text)

def zh_quickstart(words):
    "The quickstart in Chinese; the picture of its panel is its own, see tools/browser.py"
    nb = read_nb(NBS/'00_colab_quickstart.ipynb')
    old = read_nb(ZH_QUICKSTART).cells if ZH_QUICKSTART.exists() else []
    panel = [c.outputs for c in old if c.id == 'panel']
    for c in nb.cells:
        if c.cell_type == 'markdown': c.source = words.of_all(with_badge(c.source))
        if c.id == 'panel' and panel: c.outputs = panel[0]
    nb.cells[0].source += '\n\n<!--\n- skip_exec: true\n-->'   # nbdev_test has run the same cells in English
    nb.cells[1].source = with_badge(nb.cells[1].source, badge(ZH_QUICKSTART.stem))
    first = next(n for n, c in enumerate(nb.cells) if c.cell_type == 'code')
    language = mk_cell("import os\n\nos.environ['TIMELLM_LANG'] = 'zh'   # 面板和按钮的标签用中文", 'code')
    language.id = 'language'
    nb.cells.insert(first, language)
    return nb

def zh_readme(words):
    "README.zh.md with the commands of README.md, comments in Chinese"
    english, text = ((TOP/name).read_text(encoding='utf-8') for name in ('README.md', 'README.zh.md'))
    def translated(comment): return comment[1] + words.of(comment[2])
    blocks = [COMMENT.sub(translated, block) for block in CODE.findall(english)]
    if len(CODE.findall(text)) != len(blocks): sys.exit(f'README.zh.md: README.md has {len(blocks)} blocks of code')
    following = iter(blocks)
    text = with_badge(CODE.sub(lambda m: next(following), text))
    link = '[English](README.md)'
    above = f'{badge(ZH_QUICKSTART.stem)}\n\n{link}' if badge() else link
    return replaced(re.escape(link), above, text, f'README.zh.md: {link}')

def script():
    from timellm.config import resume_rules_text
    path = TOP/'scripts'/'TimeLLM_ETTh1_gpt2_colab_drive.sh'
    rows = ''.join(f'#   {row}\n' for row in resume_rules_text().splitlines())
    inside = r'(?s)(?<=# <table>\n).*?(?=# </table>)'
    text = replaced(inside, rows, path.read_text(encoding='utf-8'), f'{path}: the place for the table')
    path.write_text(text, encoding='utf-8')

def architecture():
    found = rooms.read_rooms()
    (NBS/'architecture.svg').write_text(rooms.drawing(found), encoding='utf-8')
    path = NBS/'15_architecture.ipynb'
    nb = read_nb(path)
    cell = next(c for c in nb.cells if '<!-- <rooms> -->' in c.source)
    inside = r'(?s)(?<=<!-- <rooms> -->\n).*(?=<!-- </rooms> -->)'
    table = f'\n{rooms.table(found)}\n\n'
    cell.source = replaced(inside, table, cell.source, f'{path}: the place for the table of rooms')
    write_nb(nb, path)
    if wrong := rooms.upwards(found): sys.exit('\n'.join(wrong))

def citation():
    path = TOP/'CITATION.cff'
    line = f'version: {get_config().version}'
    text = replaced(r'(?m)^version: .*$', line, path.read_text(encoding='utf-8'), f'{path}: the line version: ...')
    path.write_text(text, encoding='utf-8')

class Links(HTMLParser):
    "Anchors of a page, and where it leads"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a.get('id'), a.get('name')} - {None}
        self.links += [a[k] for k in ('href', 'src') if a.get(k)]

def link_problem(page, to, pages):
    "What is wrong with a link within the site; nothing if it leads somewhere"
    target = (page.parent/unquote(to.path)).resolve() if to.path else page
    if not target.is_file(): return 'no such file'
    if not to.fragment or target not in pages: return ''
    return '' if unquote(to.fragment) in pages[target].ids else 'no such place'

def check_links(site):
    "Every link within a site leads to a file and an anchor that are there; the others are counted"
    pages = {p: Links(p.read_text(encoding='utf-8')) for p in site.rglob('*.html')}
    links = [(page, link, urlsplit(link)) for page, found in pages.items() for link in found.links]
    outside = {link for _, link, to in links if to.scheme in ('http', 'https')}
    inside = [(page, link, to) for page, link, to in links if not to.scheme and not to.netloc]
    wrong = []
    for page, link, to in inside:
        if problem := link_problem(page, to, pages): wrong.append(f'{page.relative_to(site)}: {link}: {problem}')
    counts = f'{len(inside)} links within {len(pages)} pages checked, {len(wrong)} wrong'
    print(f'{counts}; {len(outside)} addresses outside, not opened', *wrong, sep='\n')
    if wrong: sys.exit(1)

def page_name(notebook):
    "A page's name as nbdev and Quarto have it: 01_config.ipynb -> config.ipynb, 07b_folder.ipynb -> folder.ipynb"
    return re.sub(r'^\d+[a-zA-Z0-9]*_', '', notebook)

def rewrite(path, site, names):
    "Links of a page or a menu to notebooks, by the names that the pages have"
    text = path.read_text(encoding='utf-8')
    for old, new in names.items():
        text = re.sub(rf'(?<![\w./-])((?:\.\./|\./|\w+/)*){re.escape(old)}', rf'\1{new}', text)
    text = re.sub(r'output-file: [^\\\n]*\\n', '', text)
    c = get_config()
    if not c.git_url: text = re.sub(r'\[source\]\([^)]*\)\{[^}]*\}', '', text)   # would lead nowhere
    host = f'{c.doc_host}{c.doc_baseurl}'.rstrip('/') + '/'
    top = '../'*(len(path.relative_to(site).parts) - 1) or './'
    path.write_text(text.replace(f']({host}', f']({top}'), encoding='utf-8')

def menu(entry):
    "The notebooks that an entry of the sidebar leads to; places within a page do not count"
    if isinstance(entry, str): return [entry]
    if 'href' in entry: return [entry['href']]
    return [page for below in entry['contents'] for page in menu(below)]

def check_menu():
    "Every notebook is once in the sidebar"
    sidebar = yaml.safe_load((TOP/'_quarto.yml').read_text(encoding='utf-8'))['website']['sidebar']
    listed = Counter(page for page in menu(sidebar) if '#' not in page)
    found = [p.relative_to(NBS) for p in NBS.rglob('*.ipynb')]
    there = Counter(p.as_posix() for p in found if '.ipynb_checkpoints' not in p.parts)
    wrong = [*(listed - there), *(there - listed)]
    if wrong: sys.exit(f'_quarto.yml: each notebook is to be in the sidebar once, which is not so for {wrong}')

def check_first_cells():
    "The first cell of a notebook is its title and subtitle: nbdev drops what else is in it"
    for path in NBS.rglob('*.ipynb'):
        shown = re.sub('(?s)<!--.*?-->', '', read_nb(path).cells[0].source)
        lines = shown.splitlines()[1:]
        more = [line for line in lines if line and line[0] != '>']
        if more: sys.exit(f'{path}: text after the subtitle needs a cell of its own')

def is_test(cell):
    "Does a code cell only check something, and show nothing?"
    if cell['cell_type'] != 'code' or cell['outputs']: return False
    return re.search(r'\b(assert|test_\w+\()', cell['source'])

def folded_title(cell):
    "The title of a cell that Colab folds; nothing of others"
    form = re.match(r'#@title (.*?) *\{', cell['source'])
    return form[1] if form else ''

def fitted(table):
    "A table's HTML: names in its head may be broken at their underscores, and many columns are set small"
    def broken(found): return found[0].replace('_', '_<wbr>')
    head = table.partition('</thead>')[0]
    if head.count('<th>') > 8: table = table.replace('class="dataframe"', 'class="dataframe many"')
    return re.sub(r'<th>\w+_\w+', broken, table)

def prepare(path):
    "Tests that show nothing are folded, the set-up lines are broken, and so are long names in the heads of tables"
    nb = json.loads(path.read_text(encoding='utf-8'))
    for c in nb['cells']:
        source = ''.join(c['source'])
        c['source'] = SET_UP.sub(lambda line: line[0].replace('&& ', '&& \\\n  '), source)
        summary = 'Test' if is_test(c) else folded_title(c)
        if summary: c['source'] = f'#| code-fold: true\n#| code-summary: {summary}\n{c["source"]}'
        for data in [out['data'] for out in c.get('outputs', []) if 'data' in out]:
            if 'text/html' in data: data['text/html'] = fitted(''.join(data['text/html']))
    path.write_text(json.dumps(nb), encoding='utf-8')

def open_in_colab(path):
    "The badge on the home page, where there is one"
    nb = json.loads(path.read_text(encoding='utf-8'))
    text = next(c for c in nb['cells'] if c.get('id') == 'time-llm')
    if badge(): text['source'] = f'{badge()}\n\n{text["source"]}'
    path.write_text(json.dumps(nb), encoding='utf-8')

def docs():
    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    check_menu()
    check_first_cells()
    refresh_quarto_yml()
    _build_modidx()
    with tempfile.TemporaryDirectory() as tmp:
        site = Path(tmp)/'site'
        shutil.copytree(proc_nbs(force=True, n_workers=2), site, ignore=shutil.ignore_patterns('_docs'))
        notebooks = list(site.rglob('*.ipynb'))
        names = {p.name: page_name(p.name) for p in notebooks}
        pages = [p.rename(p.with_name(names[p.name])) for p in notebooks]
        for p in pages: prepare(p)
        open_in_colab(site/'index.ipynb')
        for p in [*pages, *site.glob('*.yml')]: rewrite(p, site, names)
        smalldocs = Path(sys.executable).with_name('smalldocs')
        subprocess.run([smalldocs, 'render', '--strict', site], check=True)
        subprocess.run([smalldocs, 'check', site], check=True)
        shutil.rmtree(TOP/'_docs', ignore_errors=True)
        shutil.move(site/'_docs', TOP/'_docs')
        check_links(TOP/'_docs')

TARGETS = {f.__name__: f for f in (readme, quickstart, zh, script, architecture, citation, docs)}

if __name__ == '__main__':
    wanted = sys.argv[1:]
    if not wanted or set(wanted) - set(TARGETS): sys.exit(__doc__)
    for name in wanted: TARGETS[name]()
