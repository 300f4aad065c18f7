"""The rooms of the package, read from the notebooks: what each is, what it imports, a table and a drawing of them

A room is a notebook that exports a module. Rooms import only rooms of a smaller number; those in `FREE` may import all.
`python tools/build.py architecture` writes table and drawing into the page Architecture.
"""
import ast, json, re
from pathlib import Path
from typing import NamedTuple

NBS = Path(__file__).resolve().parent.parent/'nbs'
FREE = 'testing', 'faults', 'fuzz', 'pretend'
EXPORT = re.compile(r'^#\| *exports?i?\b', re.M)
DEFAULT_EXP = re.compile(r'^#\| *default_exp +(\w+)', re.M)
SUBTITLE = re.compile(r'^> *(.+)', re.M)

class Room(NamedTuple):
    "A notebook that exports a module"
    notebook: str   # its file: 02b_machine.ipynb
    name: str   # its module: machine
    noun: str   # the subtitle of its notebook
    lines: int   # with code in them, in its exported cells
    imports: list   # names of rooms, in their order

    @property
    def number(self): return self.notebook.split('_')[0]

def imported(code):
    "Names of the modules of timellm that `code` imports, anywhere in it"
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): names |= {a.name for a in node.names}
        if not isinstance(node, ast.ImportFrom): continue
        names.add(f'{node.module}')
        names |= {f'{node.module}.{a.name}' for a in node.names}
    return {n.split('.')[1] for n in names if n.startswith('timellm.')}

def read_room(path):
    "The room of a notebook, its imports as a set; None if it exports nothing"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    code = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
    module = DEFAULT_EXP.search('\n'.join(code))
    if not module: return None
    noun = SUBTITLE.search(''.join(cells[0]['source']))
    exported = '\n'.join(c for c in code if EXPORT.search(c))
    lines = [l for l in exported.splitlines() if l.strip() and not l.startswith('#|')]
    return Room(path.name, module[1], noun[1], len(lines), imported(exported))

def read_rooms():
    "All rooms, in the order of their numbers"
    found = [r for r in map(read_room, sorted(NBS.glob('*.ipynb'))) if r]
    def others(room): return [r.name for r in found if r.name in room.imports and r is not room]
    return [r._replace(imports=others(r)) for r in found]

def upwards(rooms):
    "A line for each import of a room with a larger number"
    number = {r.name: r.number for r in rooms}
    bound = [r for r in rooms if r.name not in FREE]
    found = [(r, i) for r in bound for i in r.imports if number[i] > r.number]
    rule = 'a room imports only rooms with a smaller number'
    return [f'{r.name} ({r.number}) imports {i} ({number[i]}): {rule}' for r, i in found]

def table(rooms):
    "The rooms as a Markdown table"
    link = {r.name: f'[{r.name}]({r.notebook})' for r in rooms}
    rows = ['| room | one noun | lines | imports |', '|---|---|---|---|']
    for r in rooms:
        rows.append(f"| {r.number} {link[r.name]} | {r.noun} | {r.lines} | {', '.join(r.imports) or 'nothing'} |")
    return '\n'.join(rows)

STEP = 24   # from one row, or column, of the drawing to the next
LABEL = 'rx="4" fill="#e9eff8" stroke="#5b7aa8"'   # a ground of its own: readable on light and on dark pages
FONT = 'font-family="monospace" font-size="13"'
GUIDE = 'stroke="#8896aa" stroke-opacity=".45"'
DOT = 'r="5" fill="#4a7fc8"'

def guides(rooms, at):
    "SVG: a line from each name to the left, to its first import, and one down, to the last room that imports it"
    out = []
    for r in rooms:
        middle = at[r.name] + STEP/2
        left = [at[i] + STEP/2 for i in r.imports]
        down = [at[o.name] + STEP/2 for o in rooms if r.name in o.imports]
        if left: out.append(f'<path d="M {middle:g} {middle:g} H {min(left):g}" {GUIDE}/>')
        if down: out.append(f'<path d="M {middle:g} {middle:g} V {max(down):g}" {GUIDE}/>')
    return out

def marks(room, at):
    "SVG: a dot for each import of a room, then its name"
    x, y = at[room.name], at[room.name] + STEP/2
    name = f'{room.number} {room.name}'
    out = [f'<circle cx="{at[i] + STEP/2:g}" cy="{y:g}" {DOT}/>' for i in room.imports]
    out.append(f'<rect x="{x:g}" y="{y - 10:g}" width="{8*len(name) + 10}" height="20" {LABEL}/>')
    out.append(f'<text x="{x + 6:g}" y="{y + 4.5:g}" fill="#1c2b41">{name}</text>')
    return out

def drawing(rooms):
    "SVG: the rooms down a diagonal; left of a name the rooms it imports, below a name the rooms that import it"
    at = {r.name: n*STEP for n, r in enumerate(rooms)}   # left and upper edge of the name
    size = len(rooms)*STEP
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {size + 124} {size + 4}" {FONT}>']
    out.append('<title>Rooms of timellm and what they import</title>')
    out += guides(rooms, at)
    for r in rooms: out += marks(r, at)
    return '\n'.join([*out, '</svg>', ''])
