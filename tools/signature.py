"""How the docs show what a notebook exports; nbdev's `renderer` in settings.ini

An argument a line, its comment beside it. nbdev's own renderer joins arguments until a line is full,
so that a comment stands behind two of them, and shows no field of a NamedTuple.
"""
import inspect, linecache, re
from dataclasses import is_dataclass

from fastcore.docments import DocmentText, docments
from nbdev.showdoc import BasicMarkdownRenderer

SHORT = 72   # characters of a signature that is written on one line
LONG = 40   # lines of a signature that is folded
FIELD = re.compile(r'(?m)^    (\w+ *:[^#\n]*?) *(?:# *(.*))?$')

def is_record(obj): return is_dataclass(obj) or hasattr(obj, '_fields')

def fields(cls):
    "Pairs of a field and its comment, from the cell of the notebook that was run, which docments cannot read"
    cells = [''.join(lines) for _, _, lines, _ in linecache.cache.values()]
    begin = re.compile(rf'^class {cls.__name__}\b', re.M)
    code = [c for c in cells if begin.search(c)][-1]
    body = code[begin.search(code).end():].partition('\n')[2]
    body = re.split(r'(?m)^(?=\S)|^    (?:@|def )', body)[0]   # up to the first method, or the end of the class
    return FIELD.findall(body)

class Text(DocmentText):
    "A signature, as a class or a function begins in Python"
    def __init__(self, obj):
        super().__init__(obj, docstring=False)
        self.dm = docments(obj, full=True, args_kwargs=True)   # comments of *args and **kwargs, too
        self.dm.pop('self', None)

    def __str__(self):
        obj = self.obj
        if not (inspect.isclass(obj) or inspect.isfunction(obj)): return super().__str__()
        if inspect.isclass(obj) and issubclass(obj, Exception) and '__init__' not in vars(obj):
            return f'class {obj.__name__}({obj.__base__.__name__}):'
        head = f'class {obj.__name__}' if inspect.isclass(obj) else f'def {obj.__qualname__}'
        end = '):' if inspect.isclass(obj) else self._ret_str
        rows = fields(obj) if is_record(obj) else self.params
        rows = [(text, (note or '').replace('`', '')) for text, note in rows]   # nbdev would make links of names in `
        short = f"{head}({', '.join(text for text, _ in rows)}{end}"
        if len(short) <= SHORT and not any(note for _, note in rows): return short
        lines = [f'    {text},   # {note}' if note else f'    {text},' for text, note in rows]
        return '\n'.join([f'{head}(', *lines, end])

class Signature(BasicMarkdownRenderer):
    "What `show_doc` shows: heading, link to the source, signature, docstring"
    def __init__(self, sym, **kwargs):
        super().__init__(sym, **kwargs)
        self.dm = Text(self.sym)

    def _repr_markdown_(self):
        text = super()._repr_markdown_()
        n = str(self.dm).count('\n') + 1
        if n < LONG: return text
        return re.sub(r'(?s)```python.*?```', lambda code: folded(code[0], n), text, count=1)

def folded(code, n): return f'<details class="code-fold"><summary>{n} lines</summary>\n\n{code}\n\n</details>'
