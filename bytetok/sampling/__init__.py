"""Bytes from models: next-byte probabilities of any token model, and what is built on them."""

from bytetok.sampling.sampler import ByteSampler as ByteSampler
from bytetok.sampling.state import TokenByteState as TokenByteState

__all__ = ["ByteSampler", "TokenByteState"]
