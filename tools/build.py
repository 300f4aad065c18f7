#!/usr/bin/env python3
"""What is made from the notebooks and settings.ini: python tools/build.py readme | quickstart | script | docs ...

readme      README.md from nbs/index.ipynb
quickstart  the git address in the quickstart's first cell, from settings.ini (none set: the cell asks for a wheel)
script      the table of what may change on resume at the top of the training script
docs        the site in _docs/, without Quarto: nbdev applies its directives, smalldocs renders (outputs as saved); every link is checked
"""
import re, shutil, subprocess, sys, tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from execnb.nbio import read_nb, write_nb
from nbdev.config import get_config

TOP = Path(__file__).resolve().parent.parent
NOTEBOOK = re.compile(r'\]\((?:\./)?(\w+\.ipynb)')

def badge():
    "Opens the quickstart in Colab; nothing while settings.ini names no owner and no GitHub address"
    c = get_config()
    return f'[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/{c.user}/{c.repo}/blob/{c.branch}/nbs/00_colab_quickstart.ipynb)' \
        if c.user and 'github.com' in c.git_url else ''

def readme():
    parts = []
    for c in read_nb(TOP/'nbs'/'index.ipynb').cells:
        if c.cell_type == 'markdown': parts.append(NOTEBOOK.sub(r'](nbs/\1', c.source))
        elif '#| hide' not in c.source: parts.append(f'```python\n{c.source}\n```')
    parts[1:1] = [badge()]*bool(badge())
    text = '<!-- made from nbs/index.ipynb by tools/build.py readme -->\n\n' + '\n\n'.join(parts) + '\n'
    if wrong := [l for l in re.findall(r'\]\((?!https?:)([^)#]+)', text) if not (TOP/l).exists()]: sys.exit(f'README.md leads to what is not there: {wrong}')
    (TOP/'README.md').write_text(text, encoding='utf-8')

def quickstart():
    path, address = TOP/'nbs'/'00_colab_quickstart.ipynb', get_config().git_url
    nb = read_nb(path)
    cell = next(c for c in nb.cells if c.cell_type == 'code')
    cell.source, n = re.subn(r"(?m)^GIT_ADDRESS = '.*'$", f"GIT_ADDRESS = '{'git+' + address if address else ''}'", cell.source)
    if n != 1: sys.exit(f'{path}: the first code cell has no line GIT_ADDRESS = ...')
    text = nb.cells[1]
    text.source = '\n\n'.join([badge()]*bool(badge()) + [p for p in text.source.split('\n\n') if not p.startswith('[![Open In Colab]')])
    write_nb(nb, path)

def script():
    from timellm.config import resume_rules_text
    path = TOP/'scripts'/'TimeLLM_ETTh1_gpt2_colab_drive.sh'
    table = '\n'.join(f'#   {l}' for l in resume_rules_text().splitlines())
    text, n = re.subn(r'(?s)(# <table>\n).*?(# </table>)', lambda m: f'{m[1]}{table}\n{m[2]}', path.read_text(encoding='utf-8'))
    if n != 1: sys.exit(f'{path}: no place for the table')
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

def check_links(site):
    "Every link within a site leads to a file and an anchor that are there; the others are counted"
    pages, n, outside, wrong = {p: Links(p.read_text(encoding='utf-8')) for p in site.rglob('*.html')}, 0, set(), []
    for page, links in pages.items():
        for link in links.links:
            to = urlsplit(link)
            if to.scheme or to.netloc: outside |= {link} if to.scheme in ('http', 'https') else set(); continue
            there, n = (page.parent/unquote(to.path)).resolve() if to.path else page, n + 1
            if not there.is_file(): wrong.append(f'{page.name}: {link}: no such file')
            elif to.fragment and there in pages and unquote(to.fragment) not in pages[there].ids: wrong.append(f'{page.name}: {link}: no such place')
    print(f'{n} links within {len(pages)} pages checked, {len(wrong)} wrong; {len(outside)} addresses outside, not opened', *wrong, sep='\n')
    if wrong: sys.exit(1)

def docs():
    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
    from nbdev.serve import proc_nbs
    refresh_quarto_yml()
    _build_modidx()
    nbdev_sidebar.__wrapped__()
    with tempfile.TemporaryDirectory() as tmp:
        site = Path(tmp)/'site'
        shutil.copytree(proc_nbs(force=True, n_workers=1), site, ignore=shutil.ignore_patterns('_docs'))
        pages = {p.name: re.sub(r'^\d+_', '', p.name) for p in site.glob('*.ipynb')}   # as Quarto names them: 01_config -> config
        for old, new in pages.items(): (site/old).rename(site/new)
        for p in [*site.glob('*.ipynb'), *site.glob('*.yml')]:
            text = p.read_text(encoding='utf-8')
            for old, new in pages.items(): text = re.sub(rf'(?<![\w./-]){re.escape(old)}', new, text)
            text = re.sub(r'output-file: [^\\\n]*\\n', '', text)
            if not get_config().git_url: text = re.sub(r'\[source\]\([^)]*\)\{[^}]*\}', '', text)   # would lead nowhere
            host = f'{get_config().doc_host}{get_config().doc_baseurl}'.rstrip('/') + '/'
            p.write_text(text.replace(f']({host}', '](./'), encoding='utf-8')
        for command in (['render', '--strict'], ['check']): subprocess.run([Path(sys.executable).with_name('smalldocs'), *command, str(site)], check=True)
        shutil.rmtree(TOP/'_docs', ignore_errors=True)
        shutil.move(site/'_docs', TOP/'_docs')
        check_links(TOP/'_docs')

if __name__ == '__main__':
    made = dict(readme=readme, quickstart=quickstart, script=script, docs=docs)
    if not sys.argv[1:] or set(sys.argv[1:]) - set(made): sys.exit(__doc__)
    for name in sys.argv[1:]: made[name]()
