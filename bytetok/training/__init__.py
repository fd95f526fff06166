"""Corpora, pretoken counts, BPE training, domain tokens, recipes, and the measures by which tokenizers are compared."""
