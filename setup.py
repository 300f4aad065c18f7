"""Build script: all metadata comes from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=['='])
parser.read(here/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
commands = cfg['console_scripts'].splitlines()

def words(key): return cfg[key].split()

extras = {e: words(f'{e}_requirements') for e in ('dev', 'demo', 'quantized', 'tune', 'parquet', 'ray', 'm4')}

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=words('keywords'),
    long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    author=cfg['author'], license='Apache-2.0', python_requires=f">={cfg['min_python']}",
    classifiers=['Development Status :: 3 - Alpha', 'Intended Audience :: Developers', 'Natural Language :: English',
                 'Programming Language :: Python :: 3', 'Topic :: Scientific/Engineering :: Artificial Intelligence'],
    packages=find_packages(include=[f"{cfg['lib_path']}*"]),
    package_data={cfg['lib_path']: ['weights/*/*', 'scripts/*.sh']},
    install_requires=words('requirements'), extras_require=extras,
    entry_points={'console_scripts': commands, 'nbdev': [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
    **({'url': cfg['git_url']} if cfg['git_url'] else {}),
)
