"""A published SentencePiece BPE model, Mistral's first, beside ``sentencepiece`` and every library that reads it.

::

    python benchmarks/encode_sentencepiece.py --peers ~/peers/bin/python     # 3 minutes
    python benchmarks/encode_sentencepiece.py --quick                        # writes nothing

Measured as ``encode_speed.py`` does: documents of 8 KB, MB per CPU second on one pinned core, first pass of a fresh
process and median of later passes. The reference for the ids is ``sentencepiece``. For the libraries that read
tokenizer.json only, the model is written as one: the same pieces, all pairs that join to a piece as merges in the order
of the piece's score.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from _encoding import (
    Texts,
    against_best,
    exactness,
    file_of,
    finish,
    machine_with_peers,
    measure,
    offered,
    parser,
    plain,
    run_process,
)
from _libraries import Files
from _machine import Claim, corpus

CALLS = {
    "numpy": ("bytetok", "gigatoken"),
    "list": ("bytetok", "gigatoken", "sentencepiece", "kitoken", "splintr", "tokenizers"),
}
TEXTS = ("mixed", "english", "code", "multilingual")

AS_JSON = """import json, sys
from sentencepiece import SentencePieceProcessor
model = SentencePieceProcessor(model_file=sys.argv[1])
vocab, merges = {}, []
for number in range(len(model)):
    vocab[model.id_to_piece(number)] = number
for piece, number in vocab.items():
    if model.is_control(number) or model.is_unknown(number) or model.is_byte(number):
        continue
    for cut in range(1, len(piece)):
        if piece[:cut] in vocab and piece[cut:] in vocab:
            merges.append((-model.get_score(number), [piece[:cut], piece[cut:]]))
merges.sort(key=lambda one: one[0])
json.dump({
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\\u2581"}]},
    "pre_tokenizer": None, "post_processor": None,
    "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\\u2581"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
              "vocab": vocab, "merges": [pair for _, pair in merges]},
}, open(sys.argv[2], "w", encoding="utf-8"), ensure_ascii=False)"""


def main() -> None:
    """Measure, compare, print and save."""
    options = parser("Encoding with a SentencePiece BPE model.", rounds=3).parse_args()
    where = machine_with_peers(options.peers)
    rounds, warm, size = (1, 2, 1_000_000) if options.quick else (options.rounds, 4, 4_000_000)
    results = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        # Some libraries tell the format by the ending of the name.
        model = Path(folder, "tokenizer.model")
        model.write_bytes(Path(file_of("mistral-v1")).read_bytes())
        converted = Path(folder, "tokenizer.json")
        run_process(options.peers, AS_JSON, model, converted)
        files = Files(model=str(model), json=str(converted), ours=str(model))
        for text in TEXTS[:1] if options.quick else TEXTS:
            for call, libraries in CALLS.items():
                results[text, call] = measure(
                    options.peers,
                    offered(where, libraries, options.libraries),
                    files,
                    Texts(corpus(f"{text}10.txt"), limit=size),
                    call,
                    rounds=rounds,
                    warm=warm,
                    reference="sentencepiece",
                    label=f"Mistral v1, {text}, {call}",
                )
    rows: list[Claim] = []
    for (text, call), found in results.items():
        for which in ("cold", "warm"):
            for peer, bar in (("gigatoken", 3), ("sentencepiece", 12)):
                what = f"Mistral v1, {text}, {call.replace('_', ' ')}, {which} : {peer}"
                rows += against_best(found, which, what, bar if which == "cold" else None, peer=peer)
    rows.append(exactness(results.values()))
    finish(
        "encode_sentencepiece",
        rows,
        where,
        write=not (options.quick or options.libraries),
        rounds=rounds,
        text_bytes=size,
        speeds=[{"text": text, "call": call, "libraries": plain(found)} for (text, call), found in results.items()],
    )


if __name__ == "__main__":
    main()
