"""The tokenizer of the little world: byte-level BPE, so that any text has ids."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from little_world.corpus import training_documents
from little_world.grammar import SPECIAL

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = 512
DOCUMENTS = 4000

CHAT_TEMPLATE = (
    "<|begin|>{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content | trim }}"
    "{% elif message.role == 'assistant' %}<|assistant|>{{ message.content | trim }}<|end|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(seed: int) -> Tokenizer:
    """Train the tokenizer on the first documents of a seed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(training_documents(seed), DOCUMENTS), trainer)
    return tokenizer
