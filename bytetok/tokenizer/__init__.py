"""Vocabularies, split patterns, file formats and exact encoding."""

from bytetok.tokenizer.patterns import SplitPattern as SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer as Tokenizer
from bytetok.tokenizer.vocab import AddedToken as AddedToken
from bytetok.tokenizer.vocab import Vocab as Vocab

__all__ = ["AddedToken", "SplitPattern", "Tokenizer", "Vocab"]
