"""The pocket tokenizers: byte-level BPE for CLIP, Unigram for T5, both with one token for every known word."""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

CLIP_LENGTH = 64  # tokens; the longest captions of two people take about 60
T5_LENGTH = 64
START, END = "<|startoftext|>", "<|endoftext|>"


def count_words(captions: Iterable[str]) -> Counter[str]:
    """How often each lower-case word stands in the captions."""
    return Counter(word for caption in captions for word in re.findall(r"[a-z]+", caption.lower()))


def clip_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """CLIP's tokenizer with merges that make every one of `words` a single token; bytes carry any other text."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=20_000, end_of_word_suffix="</w>", show_progress=False)
    bpe.train_from_iterator(sorted(words), trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    # The published order: bytes, bytes that end a word, merges, and the two special tokens at the end.
    single = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*single, *(b + "</w>" for b in single), *("".join(pair) for pair in merges), START, END]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_LENGTH)


def t5_tokenizer(counts: Counter[str]) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer with T5's special ids (pad 0, end 1, unknown 2); letters spell words it does not know.

    Lower-cases what it is given, which `T5Tokenizer` has no place for, hence the general class.
    """
    total = sum(counts.values())
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -12.0)]
    pieces += [("▁" + word, math.log(counts[word] / total)) for word in sorted(counts)]
    pieces += [(sign, -12.0) for sign in string.printable.strip() if sign == sign.lower()]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    unigram.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=unigram,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=T5_LENGTH,
    )
