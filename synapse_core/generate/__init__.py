"""From ids to text: tokenizers, samplers, chat templates and the loop."""

from synapse_core.generate.assets import (
    ASSETS,
    HOST_KEY,
    assets_of_host,
    read_assets,
    read_folder,
    read_named,
)
from synapse_core.generate.charges import Charges
from synapse_core.generate.chat import ChatTemplate, Message, check_messages
from synapse_core.generate.chooser import Chooser
from synapse_core.generate.clip_vocabulary import assets_of_clip, clean_caption, read_clip_merges
from synapse_core.generate.decoder import Decoder, TextPorts
from synapse_core.generate.gguf_vocabulary import assets_of_gguf
from synapse_core.generate.guess import DraftModel, Guesser, PromptLookup, check_draft
from synapse_core.generate.guide import Guide
from synapse_core.generate.logprobs import TokenLogprob, log_softmax
from synapse_core.generate.loop import (
    CONTEXT,
    END,
    LENGTH,
    STOP_STRING,
    STOPPED,
    Generation,
)
from synapse_core.generate.open_tokenizer import has_tokenizer, open_tokenizer
from synapse_core.generate.overflow import OVERFLOWS, SINKS, Overflow
from synapse_core.generate.penalty import Penalties
from synapse_core.generate.preprocessor import Preprocessor
from synapse_core.generate.prompt_cache import PromptCache
from synapse_core.generate.readers import (
    GgufReader,
    TokenizerReader,
    claiming_readers,
    reader_files,
)
from synapse_core.generate.request import Request
from synapse_core.generate.sampler import Greedy, Random, Sampler, make_sampler
from synapse_core.generate.scheduler import PREFILL_TOKENS, Scheduler
from synapse_core.generate.sentencepiece_model import assets_of_sentencepiece
from synapse_core.generate.serving import Answer, Serving
from synapse_core.generate.settings import Settings, settings_of
from synapse_core.generate.stops import StopStrings
from synapse_core.generate.tokenizer import SpecialTokens, Stream, Tokenizer, prompt_ids
from synapse_core.generate.tokenizer_json import JsonTokenizer, load_tokenizer
from synapse_core.generate.vocabulary import Vocabulary

__all__ = [
    "ASSETS",
    "CONTEXT",
    "END",
    "HOST_KEY",
    "LENGTH",
    "OVERFLOWS",
    "PREFILL_TOKENS",
    "SINKS",
    "STOPPED",
    "STOP_STRING",
    "Answer",
    "Charges",
    "ChatTemplate",
    "Chooser",
    "Decoder",
    "DraftModel",
    "Generation",
    "GgufReader",
    "Greedy",
    "Guesser",
    "Guide",
    "JsonTokenizer",
    "Message",
    "Overflow",
    "Penalties",
    "Preprocessor",
    "PromptCache",
    "PromptLookup",
    "Random",
    "Request",
    "Sampler",
    "Scheduler",
    "Serving",
    "Settings",
    "SpecialTokens",
    "StopStrings",
    "Stream",
    "TextPorts",
    "TokenLogprob",
    "Tokenizer",
    "TokenizerReader",
    "Vocabulary",
    "assets_of_clip",
    "assets_of_gguf",
    "assets_of_host",
    "assets_of_sentencepiece",
    "check_draft",
    "check_messages",
    "claiming_readers",
    "clean_caption",
    "has_tokenizer",
    "load_tokenizer",
    "log_softmax",
    "make_sampler",
    "open_tokenizer",
    "prompt_ids",
    "read_assets",
    "read_clip_merges",
    "read_folder",
    "read_named",
    "reader_files",
    "settings_of",
]
