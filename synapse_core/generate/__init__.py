"""From ids to text: tokenizers, samplers, chat templates and the loop."""

from synapse_core.generate.assets import ASSETS, HOST_KEY, assets_of_host, read_assets
from synapse_core.generate.chat import ChatTemplate, Message, check_messages
from synapse_core.generate.decoder import Decoder, TextPorts
from synapse_core.generate.loop import CONTEXT, END, LENGTH, STOPPED, Generation
from synapse_core.generate.preprocessor import Preprocessor
from synapse_core.generate.sampler import Greedy, Random, Sampler, make_sampler
from synapse_core.generate.settings import Settings, settings_of
from synapse_core.generate.tokenizer import SpecialTokens, Stream, Tokenizer, prompt_ids
from synapse_core.generate.tokenizer_json import JsonTokenizer, load_tokenizer

__all__ = [
    "ASSETS",
    "CONTEXT",
    "END",
    "HOST_KEY",
    "LENGTH",
    "STOPPED",
    "ChatTemplate",
    "Decoder",
    "Generation",
    "Greedy",
    "JsonTokenizer",
    "Message",
    "Preprocessor",
    "Random",
    "Sampler",
    "Settings",
    "SpecialTokens",
    "Stream",
    "TextPorts",
    "Tokenizer",
    "assets_of_host",
    "check_messages",
    "load_tokenizer",
    "make_sampler",
    "prompt_ids",
    "read_assets",
    "settings_of",
]
