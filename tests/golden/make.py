"""Regenerates golden files: `python tests/golden/make.py [folder ...]` with the packages of requirements.txt installed."""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ORDER = ["models", "nf4", "tokenizers", "chat", "peft", "minilm", "ops"]  # later folders read earlier ones

for folder in sys.argv[1:] or ORDER:
    print(f"== {folder}", flush=True)
    subprocess.run([sys.executable, str(HERE / folder / "make.py")], check=True)
