"""Every exception that bytetok raises on purpose.

::

    BytetokError
    ├── InvalidPatternError(ValueError)     a split pattern that cannot be used
    ├── EncodingError(ValueError)           text that is not valid Unicode or UTF-8, with its byte offset
    ├── FormatError(ValueError)             a file that is not what its name or header says
    ├── CorpusError(OSError)                a corpus that cannot be read
    ├── UnknownTokenError(KeyError)         a token or id that the vocabulary does not hold
    ├── SpecialTokenError(ValueError)       special tokens that clash, or that appear in text uninvited
    ├── VocabMismatchError(ValueError)      two things made for different vocabularies or split patterns
    ├── TrainingError(ValueError)           a request that no training run can fulfil
    ├── LossyConversionError(ValueError)    a conversion that would change ids or text
    ├── ImpossibleByteError(ValueError)     a byte, or every byte, that a model gives the probability 0
    ├── ConstraintError(ValueError)         a regex or automaton that cannot limit an output
    ├── SamplingError(ValueError)           weights, temperatures and other settings that make no distribution
    ├── TokenizerMismatchError(VocabMismatchError) a tokenizer with ids that the model has no rows for
    ├── ModelOutputError(ValueError)        probabilities of a model that are none: NaN, the wrong shape or sum
    ├── ModelFilesError(OSError)            the files of a model cannot be had: no network, or another content
    ├── ContextError(ValueError)            a context of another model, or an item that is not there yet
    ├── ContextLengthError(ValueError)      a context longer than the model can read
    ├── NoStartTokenError(ValueError)       nothing to feed: an empty prompt and a model without a start token
    ├── ChatTemplateError(ValueError)       a model without a chat template, or messages that it does not take
    └── MissingDependencyError(ImportError) an optional package is not installed

Each is also the standard exception a caller would guess, so ``except ValueError`` works as expected. A message says
what happened, the offending value and where it is, what was expected, and what to do.
"""


class BytetokError(Exception):
    """Base of all errors of this package."""


class InvalidPatternError(BytetokError, ValueError):
    """A split pattern does not compile, or can match the empty string."""


class EncodingError(BytetokError, ValueError):
    """Text is not valid: lone surrogates in a ``str``, or bytes that are not UTF-8."""


class FormatError(BytetokError, ValueError):
    """A file is truncated, contradictory or of another format; the message names the file and the place."""


class CorpusError(BytetokError, OSError):
    """A corpus cannot be read: missing, unreadable, truncated, or without the named column."""


class UnknownTokenError(BytetokError, KeyError):
    """A token or id is not in the vocabulary."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument; a message should read as a message.
        return Exception.__str__(self)


class SpecialTokenError(BytetokError, ValueError):
    """Special tokens are duplicated or clash, or their text appears where ``special="raise"``."""


class VocabMismatchError(BytetokError, ValueError):
    """Two things that must share a vocabulary or split pattern do not."""


class TrainingError(BytetokError, ValueError):
    """Training cannot do what was asked, such as a vocabulary smaller than its alphabet."""


class LossyConversionError(BytetokError, ValueError):
    """A conversion would change ids or text; pass ``lossy=True`` to accept that."""


class TokenizerMismatchError(VocabMismatchError):
    """A tokenizer has ids that the model has no rows for; the message gives both numbers."""


class ModelOutputError(BytetokError, ValueError):
    """A model's output is not log-probabilities: NaN, +inf, the wrong shape, or a sum that is not 1."""


class ModelFilesError(BytetokError, OSError):
    """The files of a model cannot be had: nothing cached and no network, or not the content that was expected."""


class ContextError(BytetokError, ValueError):
    """A context of another model, or an item number that does not come before the item that names it."""


class ContextLengthError(BytetokError, ValueError):
    """A context is longer than the model can read; the message gives both lengths."""


class NoStartTokenError(BytetokError, ValueError):
    """There is nothing to feed: an empty prompt, and a model without a start token."""


class ChatTemplateError(BytetokError, ValueError):
    """A model has no chat template, or its template refuses the messages."""


class MissingDependencyError(BytetokError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class ImpossibleByteError(BytetokError, ValueError):
    """A byte has the probability 0 where it was pushed, or no byte is possible at all."""


class ConstraintError(BytetokError, ValueError):
    """A regex does not compile to an automaton, or no text can match it."""


class SamplingError(BytetokError, ValueError):
    """A setting of sampling is out of range: temperature, top-k, weights, number of bytes."""
