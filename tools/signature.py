"""How the docs show what a notebook exports; nbdev's `renderer` in settings.ini

An argument a line, its comment beside it. nbdev's own renderer joins arguments until a line is full,
so that a comment stands behind two of them.
"""
import inspect, linecache, re

from fastcore.docments import DocmentText
from nbdev.showdoc import BasicMarkdownRenderer

SHORT = 72   # characters of a signature that is written on one line
LONG = 30   # lines of a signature that is folded
FIELD = re.compile(r'(?m)^ +(\w+) *:.*?# *(.*)$')

def field_comments(cls):
    "The comments of a NamedTuple's fields, which docments does not read"
    if not hasattr(cls, '_fields'): return {}
    begin = f'class {cls.__name__}('
    cells = [''.join(lines) for _, _, lines, _ in linecache.cache.values()]   # of the notebook, as it was run
    [code] = [c for c in cells if f'\n{begin}' in f'\n{c}'][-1:]
    return dict(FIELD.findall(code[code.index(begin):]))

class Text(DocmentText):
    "A signature, as a class or a function begins in Python"
    @property
    def head(self):
        cls = self.obj
        if not inspect.isclass(cls): return f'def {cls.__qualname__}'
        return f'class {cls.__name__}'

    @property
    def rows(self):
        "Pairs of an argument and its comment"
        fields = field_comments(self.obj)
        def of_field(text): return fields.get(re.split('[:=]', text)[0], '')
        return [(text, note or of_field(text)) for text, note in self.params]

    def __str__(self):
        cls = self.obj
        if not (inspect.isclass(cls) or inspect.isfunction(cls)): return super().__str__()
        if inspect.isclass(cls) and issubclass(cls, Exception) and '__init__' not in vars(cls):
            return f'class {cls.__name__}({cls.__base__.__name__}):'
        rows, end = self.rows, self._ret_str
        short = f"{self.head}({', '.join(text for text, _ in rows)}{end}"
        if len(short) <= SHORT and not any(note for _, note in rows): return short
        lines = [f'    {text},   # {note}' if note else f'    {text},' for text, note in rows]
        return '\n'.join([f'{self.head}(', *lines, end])

class Signature(BasicMarkdownRenderer):
    "What `show_doc` shows: heading, link to the source, signature, docstring"
    def __init__(self, sym, **kwargs):
        super().__init__(sym, **kwargs)
        self.dm = Text(self.sym, docstring=False)

    def _repr_markdown_(self):
        text = super()._repr_markdown_()
        n = str(self.dm).count('\n') + 1
        if n < LONG: return text
        folded = f'```{{.python code-fold="true" code-summary="{n} lines"}}'
        return text.replace('```python', folded, 1)
