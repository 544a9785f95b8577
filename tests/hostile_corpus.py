"""All hostile files by reader, each as a model on disk and the command that meets it first.

A `Case` is one file that is bad in a model that is sound elsewhere. `light()` are hundreds of small
ones, `heavy()` a few for each reader that would take much memory or time; `controls()` are sound.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import save

from synapse_core.testing.gguf_bytes import (
    GgufBytes,
    TensorBytes,
    array,
    number,
    text,
    text_value,
    texts,
)
from tests.generate.hostile_states import heavy_states, sound_of, state_lies
from tests.generate.hostile_templates import GOOD, bombs
from tests.generate.hostile_tokenizers import (
    NORMALIZER,
    PIECES,
    TRAINER,
    config_files,
    json_files,
    message,
    models,
    piece,
)
from tests.hostile_images import ImageFile, good_images, heavy_images, image_lies, sound_images
from tests.loaders.hostile_torch_files import good_files, hostile_files
from tests.loaders.test_folder_fuzz import CONFIG, INDEX, SHARDS
from tests.loaders.test_gguf_fuzz import model as gguf_model
from tests.loaders.test_gguf_hostile import LIES
from tests.loaders.test_safetensors import DESCRIPTORS, HEADERS

INSPECT, RUN, CHAT, IMPORT = "inspect", "run", "chat", "import-pt"
CLASSIFY, ENCODE = "classify", "encode"
PICTURE, PIXELS = "picture.png", "pixels.npy"
CACHE = "prompt.cache"
PT_INDEX, PT_SHARD = "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"
READERS = {
    "gguf": INSPECT,
    "safetensors": INSPECT,
    "index": INSPECT,
    "config": INSPECT,
    "tokenizer.json": RUN,
    "tokenizer.model": RUN,
    "tokenizer_config": RUN,
    "generation_config": RUN,
    "template": CHAT,
    "pickle": IMPORT,
    "pt index": IMPORT,
    "gguf keys": INSPECT,
    "prompt cache": RUN,
    "picture": CLASSIFY,
    "pixels": ENCODE,
    "preprocessor": CLASSIFY,
}
# Models of images: nothing of the sound model of text lies beside these.
OF_IMAGES = ("picture", "pixels", "preprocessor")
# A config.json that is a GGUF file's keys, as `quantize` writes it.
KEYS: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 16,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 12,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}


@attrs.frozen
class Case:
    """`file` in a model holds `data`; its refusal must name the file and have `field` in it.

    `beside` are files that this model has beyond a sound one's, or other than those.
    """

    reader: str
    name: str
    file: str
    data: bytes
    field: str = ""
    beside: Mapping[str, bytes] = attrs.field(factory=dict)

    @property
    def id(self) -> str:
        """Its name among all."""
        return f"{self.reader}: {self.name}"

    def write(self, folder: Path, sound: dict[str, bytes]) -> list[str]:
        """Write the model, its other files as they are in a sound one; return the command."""
        folder.mkdir(parents=True)
        for name, data in {**self.beside, self.file: self.data}.items():
            (folder / name).write_bytes(data)
        place = folder
        if self.file.endswith((".gguf", ".pth")):
            place = folder / self.file
        else:
            without = {"tokenizer.json"} if self.file == "tokenizer.model" else set()
            if self.file == "chat_template.jinja":
                without |= {"tokenizer_config.json"}
            if self.reader in OF_IMAGES:
                without |= sound.keys()
            for name in sound.keys() - without - {self.file} - self.beside.keys():
                (folder / name).hardlink_to(sound[name].decode())
        verb = READERS[self.reader]
        pixels = ("--pixels", str(folder / PIXELS))
        rest = {
            RUN: ["-p", "hello", "-n", "1", "--backend", "numpy"],
            CHAT: ["-n", "1", "--backend", "numpy"],
            IMPORT: ["-o", str(folder / "out.safetensors")],
            CLASSIFY: [str(folder / PICTURE), "--backend", "numpy"],
            ENCODE: [*pixels, "-o", str(folder / "out.npy"), "--backend", "numpy"],
        }
        cache = ["--prompt-cache", str(folder / CACHE)] if self.file == CACHE else []
        return [verb, str(place), *rest.get(verb, []), *cache]


def plain(value: object) -> bytes:
    return json.dumps(value).encode()


def images_beside(case: ImageFile) -> dict[str, bytes]:
    """Return the sound files of a model of images around one."""
    return {name: data for name, data in sound_images().items() if name != case.file}


def image_cases(files: Iterator[ImageFile]) -> Iterator[Case]:
    """Yield each file in a model of images that is sound elsewhere."""
    for file in files:
        yield Case(
            file.reader, file.name, file.file, file.data, file.field, beside=images_beside(file)
        )


def config_lies() -> Iterator[tuple[str, dict[str, Any] | bytes, str]]:
    """Yield (name, keys to change or the whole file, words of the refusal)."""
    for key, values in {
        "num_hidden_layers": (10**9, 0, -1, "1", 1.5, True, None, [], 10**40),
        "num_attention_heads": (0, -2, "2", 1 << 40, 2.5, None),
        "num_key_value_heads": (-1, "1", 1 << 40, 1.5),
        "hidden_size": (1 << 40, 0, -8, "8", None, {}),
        "intermediate_size": (1 << 40, 0, -1, "x", None),
        "vocab_size": (-4, 0, 10**12, "270", None, 1.5),
        "max_position_embeddings": (-1, 0, "16", 1.5),
        "rms_norm_eps": (-1, "x", []),
        "rope_theta": (0, -1, "x"),
        "hidden_act": ("nothing", 5, [], "__import__('os')"),
        "architectures": ("LlamaForCausalLM", [], [5], None, {}),
        "rope_scaling": ({"rope_type": "x"}, {"rope_type": "linear"}, 5, "linear"),
    }.items():
        for value in values:
            yield f"{key} {str(value)[:20]}", {key: value}, key
    yield "quantized", {"quantization_config": {"quant_method": "gptq", "bits": 99}}, "quant"
    for name, data in {
        "empty": b"",
        "list": b"[]",
        "text": b'"x"',
        "cut": plain(CONFIG)[:-3],
        "twice": b'{"a":1,"a":2}',
        "nan": b'{"a":NaN}',
        "infinite": b'{"a":1e400}',
        "long number": b'{"a":' + b"9" * 100_000 + b"}",
        "nested": b'{"a":' + b"[" * 100_000,
        "utf-16": "{}".encode("utf-16"),
        "latin": b'{"a":"\xff"}',
        "pickle": b"\x80\x04}.",
    }.items():
        yield name, data, ""


def safetensors_lies() -> Iterator[tuple[str, bytes, str]]:
    for name, (header, _) in HEADERS.items():
        data = header if isinstance(header, bytes) else header.encode()
        yield name, struct.pack("<Q", len(data)) + data + bytes(8), ""
    for name, descriptor in DESCRIPTORS.items():
        data = plain({"some.weight": descriptor})
        yield name, struct.pack("<Q", len(data)) + data + bytes(8), "tensor 'some.weight'"
    for length in (0, 1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
        yield f"length {length}", struct.pack("<Q", length) + b"{}" + bytes(8), "header length"
    yield "nothing", b"", ""
    yield "seven bytes", bytes(7), ""


def index_lies(index: str, suffix: str, shard: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield lies of the index of shards whose names end in `suffix`; one is there."""
    names = (f"../x{suffix}", "/etc/passwd", "/dev/zero", "..\\x", f"absent{suffix}", "", "..")
    for name in (*names, "config.json", f"x\0{suffix}", "a" * 5000 + suffix, ".", index):
        yield f"shard {name[:20]!r}", plain({"weight_map": {"a": name}}), "'"
    for value in ([], {}, {"a": None}, {"a": 3}, "x", None, {"a": ["x"]}):
        yield f"map {value}", plain({"weight_map": value}), "weight_map"
    yield "no map", b"{}", "weight_map"
    yield "other tensor", plain({"weight_map": {"another": shard}}), "tensor '"
    yield "twice", b'{"weight_map":{"a":"x","a":"y"}}', "'a'"
    yield "cut", b'{"weight_map":', ""


def key_lies() -> Iterator[tuple[str, bytes, str]]:
    """Yield a config.json of GGUF's keys that lies."""
    for version in (0, 2, -1, True, "1", 1.5, None, [1], {}, 10**40):
        data = plain({"synapse.gguf": version, "keys": KEYS})
        yield f"version {str(version)[:9]}", data, "synapse.gguf"
    for keys in ([], None, "x", 5, [KEYS]):
        yield f"keys {str(keys)[:9]}", plain({"synapse.gguf": 1, "keys": keys}), "keys"
    yield "no keys", plain({"synapse.gguf": 1}), "keys"
    for name, values in {
        "general.architecture": ("", 5, [], None),
        "llama.block_count": (10**9, 0, -1, "1", 1.5, True, None, [], [[1]], {}, 10**40),
        "llama.embedding_length": (1 << 40, -8, "8", {}),
        "llama.attention.head_count": (0, 1 << 40, [1, "x"], [2, None]),
        "llama.rope.scaling.type": ("x", 1, ["yarn"]),
        "k" * 70_000: (1,),
    }.items():
        for value in values:
            data = plain({"synapse.gguf": 1, "keys": KEYS | {name: value}})
            yield f"{name[:30]} {str(value)[:20]!r}", data, name[:60]
    yield "twice", b'{"synapse.gguf":1,"keys":{"a":1,"a":1}}', "'a'"
    yield "nan", b'{"synapse.gguf":1,"keys":{"a":NaN}}', ""


def numbers_of_keys() -> dict[str, np.ndarray]:
    """Return the tensors of a model by GGUF's names, for a folder of its keys."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (270, 8), "output_norm": (8,)}
    shapes |= {f"blk.0.{name}": (8,) for name in ("attn_norm", "ffn_norm")}
    shapes |= {f"blk.0.{name}": (8, 8) for name in ("attn_q", "attn_output")}
    shapes |= {f"blk.0.{name}": (4, 8) for name in ("attn_k", "attn_v")}
    shapes |= {f"blk.0.{name}": (12, 8) for name in ("ffn_gate", "ffn_up")}
    shapes["blk.0.ffn_down"] = (8, 12)
    return {f"{name}.weight": np.ones(shape, np.float32) for name, shape in shapes.items()}


def generation_lies() -> Iterator[tuple[str, bytes, str]]:
    for key, values in {
        "eos_token_id": ([1] * 99, "x", -1, 1.5, [None], 1 << 40, True),
        "bos_token_id": ("x", -1, {}, [[1]]),
        "repetition_penalty": ("x", 0, -1, [], 10**400, True),
        "stop_strings": (5, ["a"] * 99, [""], ["a" * 2000], [None], {}),
    }.items():
        for value in values:
            yield f"{key} {str(value)[:20]}", plain({key: value}), key
    for key, value in {
        "temperature": -1,
        "top_k": "x",
        "top_p": 7,
        "min_p": [],
        "top_p ": 1,
    }.items():
        if not key.endswith(" "):
            yield f"{key} {value}", plain({"do_sample": True, key: value}), key
    for name, data in {"cut": b'{"a"', "list": b"[]", "nested": b"[" * 9999, "no": b""}.items():
        yield name, data, ""


def talking_gguf(**changes: bytes) -> GgufBytes:
    """Return a GGUF model that has a tokenizer and a chat template."""
    file = gguf_model()
    file.keys = [key for key in file.keys if not key[0].startswith("tokenizer.")]
    keys = {
        "tokenizer.ggml.model": text_value("gpt2"),
        "tokenizer.ggml.pre": text_value("gpt-2"),
        "tokenizer.ggml.tokens": texts(["a", "b", "ab", "<e>", "h", "i", "u", "s"]),
        "tokenizer.ggml.token_type": array("i32", struct.pack("<8i", 1, 1, 1, 3, 1, 1, 1, 1), 8),
        "tokenizer.ggml.merges": texts(["a b"]),
        "tokenizer.ggml.eos_token_id": number("u32", 3),
        "tokenizer.chat_template": text_value(GOOD["plain"]),
    }
    file.keys += list((keys | changes).items())
    return file


def light(canary: str) -> Iterator[Case]:
    """Yield the small ones; what could run code would make the file `canary`."""
    yield from image_cases(image_lies())
    for name, (data, _) in LIES.items():
        yield Case("gguf", name, "m.gguf", data, "at byte ")
    for name, data, field in safetensors_lies():
        yield Case("safetensors", name, SHARDS[0], data, field)
    for name, data, field in index_lies(INDEX, ".safetensors", SHARDS[0]):
        yield Case("index", name, INDEX, data, field)
    shard = {PT_SHARD: good_files()["plain"]}
    for name, data, field in index_lies(PT_INDEX, ".bin", PT_SHARD):
        yield Case("pt index", name, PT_INDEX, data, field, shard)
    weights = {"model.safetensors": save(numbers_of_keys())}
    for name, data, field in key_lies():
        yield Case("gguf keys", name, "config.json", data, field, weights)
    for name, change, field in config_lies():
        data = change if isinstance(change, bytes) else plain(CONFIG | change)
        yield Case("config", name, "config.json", data, field)
    for name, source, wanted in json_files():
        if wanted:
            field = wanted.removeprefix("m/tokenizer.json: ")
            data = source.encode("utf-8", "surrogatepass")
            yield Case("tokenizer.json", name, "tokenizer.json", data, field)
    for name, data, wanted in models():
        field = wanted.partition(": ")[2]
        yield Case("tokenizer.model", name, "tokenizer.model", data, field)
    for name, files, wanted in config_files():
        if "tokenizer_config.json" in files:
            data = files["tokenizer_config.json"].encode()
            field = wanted.partition(": ")[2]
            yield Case("tokenizer_config", name, "tokenizer_config.json", data, field)
    for key in ("bos_token", "eos_token"):
        for value in (5, [1], True, {"content": 5}, {}):
            data = plain({key: value})
            yield Case("tokenizer_config", f"{key} {value}", "tokenizer_config.json", data, key)
    for name, data, field in generation_lies():
        yield Case("generation_config", name, "generation_config.json", data, field)
    for number_, (name, source) in enumerate(bombs().items()):
        source = source.replace("{canary}", canary)
        file = ("tokenizer_config.json", "chat_template.jinja", "m.gguf")[number_ % 3]
        data = {
            "tokenizer_config.json": plain({"chat_template": source}),
            "chat_template.jinja": source.encode(),
            "m.gguf": talking_gguf(**{"tokenizer.chat_template": text_value(source)}).encode(),
        }[file]
        yield Case("template", name, file, data, "chat_template")
    for name, (data, _) in hostile_files(Path(canary)).items():
        yield Case("pickle", name, "m.pth", data)
    for name, data, field in state_lies():
        yield Case("prompt cache", name, CACHE, data, field)


def json_bombs(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield JSON of some size that takes as much as it can."""
    keys = b",".join(b'"%07d":1000' % n for n in range(size // 15))
    yield "lists", b'{"a":[' + b"[]," * (size // 3) + b"0]}"
    yield "objects", b'{"a":[' + b"{}," * (size // 3) + b"0]}"
    yield "keys", b"{" + keys + b"}"
    yield "texts", b'{"a":[' + b'"ab",' * (size // 5) + b"0]}"
    yield "long text", b'{"a":"' + b"x" * size + b'"}'
    yield "wide text", b'{"a":"' + b"x" * size + "🚀".encode() + b'"}'
    yield "wide texts", b'{"a":["' + ("x" * 99 + '🚀","').encode() * (size // 106) + b'"]}'
    yield "open", b'{"a":' + b"[" * size


def heavy(reader: str) -> Iterator[Case]:
    """Yield files that are as large or as heavy as a reader takes, and then bad; or larger."""
    places = {
        "config": "config.json",
        "gguf keys": "config.json",
        "index": INDEX,
        "pt index": PT_INDEX,
        "tokenizer.json": "tokenizer.json",
        "safetensors": SHARDS[0],
        "tokenizer_config": "tokenizer_config.json",
        "generation_config": "generation_config.json",
    }
    yield from image_cases(heavy_images(reader))
    if reader in places:
        yield from heavy_json(reader, places[reader])
    if reader == "tokenizer.json":
        for what in ("merge", "id", "decoder", "kind"):
            data = large_vocabulary(what)
            yield Case(reader, f"large vocabulary, {what}", "tokenizer.json", data)
        for name, (data, field) in wide_vocabularies().items():
            yield Case(reader, f"wide vocabulary, {name}", "tokenizer.json", data, field)
    if reader == "safetensors":
        yield Case(reader, "many tensors", SHARDS[0], many_tensors(60_000), "tensor '")
    if reader == "tokenizer.model":
        for name, data in heavy_models():
            yield Case(reader, name, "tokenizer.model", data)
    if reader == "gguf":
        yield from heavy_headers()
    if reader == "template":
        yield Case(reader, "long", "chat_template.jinja", b"x" * (1 << 20), "chat_template")
        yield Case(reader, "longer", "chat_template.jinja", b"x" * (9 << 20))
        yield from heavy_vocabularies()
    if reader == "prompt cache":
        for name, data in heavy_states():
            yield Case(reader, name, CACHE, data)
    if reader == "pickle":
        for name, (data, _) in hostile_files(Path("canary")).items():
            if len(data) > 1 << 20:
                yield Case(reader, name, "m.pth", data)


def heavy_json(reader: str, file: str) -> Iterator[Case]:
    """Yield JSON around what is parsed at most, and beyond."""
    for size in (900_000, 4 << 20, 9 << 20, 23 << 20):
        for name, data in json_bombs(size):
            if reader in ("tokenizer_config", "generation_config"):
                data = data[:-1] + b"!"  # an object of anything is a sound one of these
            if reader == "gguf keys":
                data = b'{"synapse.gguf":1,"keys":' + data + b"}"
            if reader == "safetensors":
                data = struct.pack("<Q", len(data)) + data
            yield Case(reader, f"{name} of {size}", file, data)


def heavy_models() -> Iterator[tuple[str, bytes]]:
    """Yield models of many pieces or fields."""
    rest = TRAINER + NORMALIZER
    many = b"".join(piece(b"%07d" % n) for n in range(250_000))
    yield "pieces", many + piece(b"0000000") + rest
    yield "more pieces", many + many + rest
    yield "empty pieces", message(1, b"") * ((8 << 20) - 9) + b"\xff"
    yield "fields of a piece", message(1, b"\x18\x01" * (7 << 20)) + b"\xff"
    numbers = b"".join(b"%c\x01" % (8 * n) for n in range(1, 16))
    yield "numbers", PIECES + message(1, numbers * (1 << 19)) + b"\xff"
    yield "unknown fields", b"\x38\x01" * ((8 << 20) - 9)


def large_vocabulary(what: str) -> bytes:
    """Return a vocabulary nearly like the largest real ones, with one thing wrong at its end."""
    vocab = {f"{n}": n for n in range(200_000)} | {"🚀": 200_000}
    merges = [["1", f"{n}"] for n in range(9, 99_999)] * 4
    spec: dict[str, Any] = {"version": "1.0", "model": {"type": "BPE", "vocab": vocab}}
    spec["model"]["merges"] = [*merges, ["1", "x"]] if what == "merge" else merges
    if what == "decoder":
        spec["decoder"] = {"type": "Nothing"}
    elif what == "id":
        vocab["x"] = -1
    elif what == "kind":
        del spec["model"]["type"]
        spec["model"]["dropout"] = 7
    return json.dumps(spec, ensure_ascii=False).encode()


def wide_vocabularies() -> dict[str, tuple[bytes, str]]:
    """Return files as large as may be, of characters that Python makes the most of."""
    letters = [chr(0x20000 + n) for n in range(512)]
    tokens = [*letters, *(a + b for a in letters for b in letters)]
    # The largest real one: 262,144 tokens, 514,906 merges, indented.
    vocab = {token: n for n, token in enumerate(tokens[: 1 << 18])}
    merges = [[token[0], token[1]] for token in tokens[512 : 1 << 18]] * 2
    model = {"type": "BPE", "vocab": vocab, "merges": merges[:514_906]}
    model["merges"][-1] = [letters[0], "x"]
    real = json.dumps({"version": "1.0", "model": model}, ensure_ascii=False, indent=1)
    long = {"🚀" + "x" * 100 + str(n): n for n in range(300_000)}
    one = json.dumps({"model": {"type": "BPE", "vocab": long, "merges": []}}, ensure_ascii=False)
    short = {"🚀" + str(n): n for n in range(200_000)}
    pairs = [["🚀" + "x" * 50, "y"]] * 400_000
    many = {"model": {"type": "BPE", "vocab": short, "merges": pairs}}
    return {
        "last merge": (real.encode(), "model.merges[514905]"),
        "long tokens": (one.encode(), "values would take"),
        "long merges": (json.dumps(many, ensure_ascii=False).encode(), "model.merges[0]"),
    }


def many_tensors(count: int) -> bytes:
    one = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
    header = plain({f"model.layers.{n}.w": one for n in range(count)})
    return struct.pack("<Q", len(header)) + header + bytes(4)


def heavy_vocabularies() -> Iterator[Case]:
    """Yield GGUF vocabularies as large as the largest real ones."""
    key = "tokenizer.ggml."
    size = 200_000
    kinds = array("i32", struct.pack("<i", 1) * size, size)
    tokens = [f"{n}" for n in range(size)]
    merges = texts(["1 2"] * 400_000 + ["1 x"])
    for name, change in {
        "merges": {"merges": merges},
        "scores": {
            "model": text_value("llama"),
            "scores": array("f32", bytes(4 * size - 4) + b"\xff" * 4, size),
        },
        "tokens": {"tokens": texts([*tokens[1:], "1"])},
        "eos_token_id": {"eos_token_id": number("u32", 1 << 30)},
    }.items():
        keys = {"tokens": texts(tokens), "token_type": kinds} | change
        file = talking_gguf(**{f"{key}{k}": value for k, value in keys.items()})
        file.tensors[0] = TensorBytes.of("token_embd.weight", np.ones((size, 8), np.float16))
        yield Case("template", f"gguf vocabulary: {name}", "m.gguf", file.encode(), f"{key}{name}")
    file = talking_gguf(**{f"{key}tokens": texts([""] * (1 << 20))})
    yield Case("template", "gguf more texts", "m.gguf", file.encode(), "count")


def heavy_headers() -> Iterator[Case]:
    """Yield GGUF headers as large as may be."""
    bad = number("u32", 1 << 31)
    for name, value in {
        "texts": texts([""] * ((1 << 20) - 9)),
        "numbers": array("u8", bytes(60 << 20), 60 << 20),
        "fractions": array("f32", bytes(60 << 20), 15 << 20),
        "flags": array("bool", bytes(60 << 20), 60 << 20),
        "long text": text_value(b"x" * (15 << 20)),
    }.items():
        file = gguf_model().set(some__thing=value, general__alignment=bad)
        yield Case("gguf", f"heavy {name}", "m.gguf", file.encode(), "general.alignment")
    keys = [(f"k{n}", number("u8", 1)) for n in range((1 << 14) - 40)]
    file = gguf_model()
    file.keys = [*keys, *file.keys, ("k1", number("u8", 1))]
    yield Case("gguf", "heavy keys", "m.gguf", file.encode(), "'k1'")
    table = b"".join(
        text(f"t{n}") + struct.pack("<IQIQ", 1, 8, 0, 32 * n) for n in range((1 << 15) - 1)
    )
    head = struct.pack("<4sIQQ", b"GGUF", 3, (1 << 15) - 1, 0)
    yield Case("gguf", "heavy tensors", "m.gguf", head + table, "tensor '")


def controls(sound: dict[str, bytes]) -> Iterator[Case]:
    """Yield sound files of the same hands, at least one for each reader."""
    for reader, file in {
        "config": "config.json",
        "index": INDEX,
        "safetensors": SHARDS[0],
        "tokenizer.json": "tokenizer.json",
        "tokenizer_config": "tokenizer_config.json",
        "generation_config": "generation_config.json",
    }.items():
        yield Case(reader, "sound", file, Path(sound[file].decode()).read_bytes())
    yield from image_cases(good_images())
    rest = TRAINER + NORMALIZER
    yield Case("tokenizer.model", "sound", "tokenizer.model", PIECES + rest)
    shard = {PT_SHARD: good_files()["plain"]}
    index = plain({"weight_map": {"w": PT_SHARD}})
    yield Case("pt index", "sound", PT_INDEX, index, beside=shard)
    keys = plain({"synapse.gguf": 1, "keys": KEYS})
    weights = {"model.safetensors": save(numbers_of_keys())}
    yield Case("gguf keys", "sound", "config.json", keys, beside=weights)
    folder = Path(sound["config.json"].decode()).parent
    yield Case("prompt cache", "sound", CACHE, sound_of(folder))
    yield Case("gguf", "sound", "m.gguf", gguf_model().encode())
    yield Case("gguf", "sound with a tokenizer", "m.gguf", talking_gguf().encode())
    yield Case("template", "gguf", "m.gguf", talking_gguf().encode())
    for name, source in GOOD.items():
        yield Case("template", name, "chat_template.jinja", source.encode())
    yield Case(
        "template", "config", "tokenizer_config.json", plain({"chat_template": GOOD["plain"]})
    )
    for name, data in good_files().items():
        yield Case("pickle", name, "m.pth", data)
