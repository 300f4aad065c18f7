#!/usr/bin/env python3
"""The budget of the code, so that every line can be read aloud: python tools/style.py [NAME ...]

lines       at most 120 characters (a URL at the end of a line may go further)
tokens      at most 30 a line: names, operators, numbers, strings; 40 in cells that export nothing
semicolons  none between statements (one at the end of a cell's last line mutes its output)
functions   at most 30 lines
comments    an argument's comment is not on the line of the return annotation, where docs show it as the result's
returns     no `return a, b, c`, no `-> tuple[a, b, c]` in exported cells: a NamedTuple or a dataclass instead
cells       at most 40 lines in an exported cell, not counting the fields of a dataclass: they are a list

Read are the code cells of nbs/, tools/*.py, benchmarks/*.py, setup.py, and Python inside scripts/*.sh and .ci/run.
With names, only files whose name begins with one of them. Offences are printed as file:cell:line, and then it exits 1.
"""
import ast, io, json, re, sys, tokenize
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
EXPORT = re.compile(r'^#\| *exports?i?\b', re.M)
HEREDOC = re.compile(r"<<-?'?PY'?.*\n((?s:.*?))^PY$", re.M)
MAGIC = re.compile(r'^\s*[%!].*', re.M)   # of IPython: no Python
CHARACTERS, FUNCTION, CELL = 120, 30, 40   # characters of a line, lines of a function, lines of an exported cell
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef
COUNTED = tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING
FSTRING = getattr(tokenize, 'FSTRING_START', None), getattr(tokenize, 'FSTRING_END', None)   # since Python 3.12

class Piece(NamedTuple):
    "Code that is checked as one: a file, or a cell of a notebook"
    where: str   # file, or file:cell
    code: str
    exported: bool = False   # by nbdev
    tokens: int = 30   # most in a line
    first: int = 1   # line number of its first line

def files(pattern): return sorted(TOP.glob(pattern))

def notebook_pieces(path):
    "The code cells of a notebook"
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] != 'code': continue
        code = ''.join(cell['source'])
        exported = bool(EXPORT.search(code))
        where = f"{path.relative_to(TOP)}:{cell['id']}"
        yield Piece(where, MAGIC.sub('pass', code), exported, tokens=30 if exported else 40)

def shell_pieces(path):
    "The Python that a shell script hands to an interpreter"
    text = path.read_text(encoding='utf-8')
    for found in HEREDOC.finditer(text):
        before = text[:found.start(1)]
        yield Piece(str(path.relative_to(TOP)), found[1], first=before.count('\n') + 1)

def pieces():
    "All code of the repository that a person writes"
    for path in files('nbs/**/*.ipynb'):
        if '.ipynb_checkpoints' not in path.parts: yield from notebook_pieces(path)
    for path in [*files('tools/*.py'), *files('benchmarks/*.py'), TOP/'setup.py']:
        yield Piece(str(path.relative_to(TOP)), path.read_text(encoding='utf-8'))
    for path in [*files('scripts/*.sh'), TOP/'.ci'/'run']: yield from shell_pieces(path)

def tokens(code):
    "The tokens that count; an f-string is one, as Python before 3.12 reads it"
    inside = 0   # f-strings that are open
    for t in tokenize.generate_tokens(io.StringIO(code).readline):
        if t.type == FSTRING[0]:
            inside += 1
            if inside == 1: yield t
        elif t.type == FSTRING[1]: inside -= 1
        elif t.type in COUNTED and not inside: yield t

def too_wide(line):
    "Longer than a line may be, and not for a URL at its end"
    if len(line) <= CHARACTERS: return False
    last = line.split()[-1]
    return '://' not in last or len(line) - len(last) > CHARACTERS

def line_offences(piece):
    "Yield `(line, what)` for lines that are too wide or too dense, and for semicolons"
    lines, counts = piece.code.splitlines(), Counter()
    for t in tokens(piece.code):
        row = t.start[0]
        counts[row] += 1
        rest = lines[row - 1][t.end[1]:]
        if t.string == ';' and rest.strip(): yield row, 'a semicolon between statements'
    for row, line in enumerate(lines, 1):
        if too_wide(line): yield row, f'{len(line)} characters, at most {CHARACTERS}'
        if counts[row] > piece.tokens: yield row, f'{counts[row]} tokens, at most {piece.tokens}'

def bare_tuple(node):
    "Is an expression, or one of the results that it chooses from, a tuple of three or more?"
    if isinstance(node, ast.Tuple): return len(node.elts) > 2
    if isinstance(node, ast.IfExp): return bare_tuple(node.body) or bare_tuple(node.orelse)
    return isinstance(node, ast.BoolOp) and any(map(bare_tuple, node.values))

def annotated_tuple(node):
    "Is an annotation `tuple[a, b, c]`?"
    if not isinstance(node, ast.Subscript): return False
    return ast.unparse(node.value) in ('tuple', 'Tuple') and bare_tuple(node.slice)

def result_comments(lines, functions):
    "Yield `(line, what)` for comments beside both the last argument and the return annotation"
    for f in functions:
        arguments = [a for a in ast.walk(f.args) if isinstance(a, ast.arg)]
        rows = [a.lineno for a in arguments if a.arg != 'self']
        if not rows or not f.returns: continue
        last, result = rows[-1], f.returns.lineno
        signature = f.body[0].lineno > result and last == result
        if signature and '#' in lines[result - 1]: yield result, f"{f.name}: this comment is read as the result's"

def tree_offences(piece):
    "Yield `(line, what)` for long functions and, in exported code, tuples of three or more as a result"
    nodes = list(ast.walk(ast.parse(piece.code)))
    functions = [n for n in nodes if isinstance(n, FUNCTIONS)]
    for f in functions:
        n = f.end_lineno - f.lineno + 1
        if n > FUNCTION: yield f.lineno, f'{f.name} has {n} lines, at most {FUNCTION}'
    if not piece.exported: return
    yield from result_comments(piece.code.splitlines(), functions)
    for f in functions:
        if annotated_tuple(f.returns): yield f.lineno, f'{f.name} is to return a bare tuple of three or more'
    for n in nodes:
        if isinstance(n, ast.Return) and bare_tuple(n.value): yield n.lineno, 'returns a bare tuple of three or more'

def size(piece):
    "Lines with something in them, without the fields of classes"
    classes = [n for n in ast.walk(ast.parse(piece.code)) if isinstance(n, ast.ClassDef)]
    fields = [n for c in classes for n in c.body if isinstance(n, ast.AnnAssign)]
    return sum(bool(line.strip()) for line in piece.code.splitlines()) - len(fields)

def offences(piece):
    "All offences of a piece of code, as lines of text, in order"
    found = list(line_offences(piece)) + list(tree_offences(piece))
    n = size(piece)
    if piece.exported and n > CELL: found.append((1, f'{n} lines in an exported cell, at most {CELL}'))
    return [f'{piece.where}:{row + piece.first - 1}: {what}' for row, what in sorted(found)]

def named(piece, names):
    "Does the name of its file begin with one of `names`?"
    return Path(piece.where.split(':')[0]).name.startswith(names)

def main(*names):
    "Print what offends and a summary; the number of offences"
    chosen = [p for p in pieces() if not names or named(p, names)]
    found = [line for p in chosen for line in offences(p)]
    for line in found: print(line)
    sizes = {p.where: size(p) for p in chosen if p.exported}
    if sizes:
        largest = max(sizes, key=sizes.get)
        middle = median(sizes.values())
        print(f'{len(sizes)} exported cells, median {middle:g} lines, largest {sizes[largest]} ({largest})')
    print(f'{len(found)} offences in {len(chosen)} cells and files')
    return len(found)

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]) > 0)
