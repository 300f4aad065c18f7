#!/usr/bin/env python3
"""The site in _docs/ as it looks in headless Chromium: python tools/pages.py PICTURES [PAGE ...]

Every page is opened at 1280 and at 390 pixels, and a picture of each goes to the folder PICTURES.
It exits 1 where a page is wider than the window, or a block of code or its output is cut off.
With names, as config or tests/resume, only these pages. Needs playwright, Chromium, and a font with Chinese characters.
"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from browser import CHROMIUM
from playwright.sync_api import sync_playwright

SITE = Path(__file__).resolve().parent.parent/'_docs'
WIDTHS = 1280, 390
HIGHEST = 4000   # pixels of a picture: a page may have 30,000
CUT = """() => [...document.querySelectorAll('pre, pre > code')].filter(e => e.scrollWidth > e.clientWidth + 1)
    .filter(e => getComputedStyle(e).overflowX != 'visible' && e.offsetParent).map(e => e.textContent.slice(0, 60))"""
OVERFLOW = '() => document.documentElement.scrollWidth - innerWidth'

def look(page, path, width, pictures):
    "A line for each thing wrong with a page"
    name = str(path.relative_to(SITE).with_suffix(''))
    page.goto(path.as_uri())
    wider, cut = page.evaluate(OVERFLOW), page.evaluate(CUT)
    high = min(page.evaluate('() => document.documentElement.scrollHeight'), HIGHEST)
    area = dict(x=0, y=0, width=width, height=high)
    picture = pictures/f"{name.replace('/', '_')}_{width}.png"
    page.screenshot(path=picture, full_page=True, clip=area)
    found = [f'{name} at {width}: {text!r} is cut off' for text in cut]
    if wider > 0: found.append(f'{name} at {width}: wider than the window by {wider} pixels')
    return found

def look_at(width, paths, pictures):
    "What is wrong at one width, by a browser of its own"
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = browser.new_page(viewport=dict(width=width, height=900))
        return [line for path in paths for line in look(page, path, width, pictures)]

def main(pictures, *names):
    "Look at the pages; the number of things that are wrong"
    pictures = Path(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    paths = [SITE/f'{n}.html' for n in names] or sorted(SITE.rglob('*.html'))
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda width: look_at(width, paths, pictures), WIDTHS)
        wrong = [line for lines in found for line in lines]
    print(*wrong, f'{len(paths)} pages at {len(WIDTHS)} widths, {len(wrong)} wrong', sep='\n')
    return len(wrong)

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]) > 0)
