"""Token language models: next-token log-probabilities of a whole tree of continuations in one model call.

::

    lm = TokenLM.from_pretrained("path/or/hub-id")
    root = lm.start(lm.tokenizer.encode("The capital of"))
    (france,) = lm.extend([(root, token)])
    france.logprobs                     # (vocab_size,), natural logarithm

Importing this loads neither torch nor transformers; :meth:`TokenLM.from_pretrained` does.
"""

from bytetok.lm.context import Context as Context
from bytetok.lm.token_lm import TokenLM as TokenLM

__all__ = ["Context", "TokenLM"]
