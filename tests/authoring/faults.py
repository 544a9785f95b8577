"""One fault for every contract: what is changed in the working start of a plugin, and what is said.

A fault is (kind, contract, file, old, new, a piece of the reason). NAME stands for the plugin's.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Fault:
    kind: str
    contract: str
    file: str
    old: str
    new: str
    said: str


_SEES_THE_CALL = """gate = project("gate")
        sizes = {"heads": self.heads, "kv_heads": self.heads, "head_dim": self.head_dim}
        gate = g.op("attention", gate, gate, gate, None, mask="causal", scale=1.0, **sizes)"""
_RAN = "return NumpyBackend(truth=False).open(own, threads=threads, pages=pages)"
_SESSION = """
        session = NumpyBackend(truth=False).open(own, threads=threads, pages=pages)

        class Other:
            calls = 0

            def __getattr__(self, name):
                return getattr(session, name)

{methods}

        return Other()"""
_FORGETS = _SESSION.format(
    methods="""            def copy_state(self, source, target, positions=None):
                pass"""
)
_COPIES_ALL = _SESSION.format(
    methods="""            def copy_state(self, source, target, positions=None):
                session.copy_state(source, target)"""
)
_LOADS_LESS = _SESSION.format(
    methods="""            def load_state(self, slot, positions, parts):
                session.load_state(slot, positions, [*parts[:-1], parts[-1] * 0])"""
)
_REMEMBERS = _SESSION.format(
    methods="""            def run(self, *arguments):
                Other.calls += 1
                made = session.run(*arguments)
                return {name: value + np.float32(Other.calls) for name, value in made.items()}"""
)
_SWALLOWS = _SESSION.format(
    methods="""            def run(self, *arguments):
                try:
                    return session.run(*arguments)
                except Exception:
                    return {}"""
)
_APPEND = "        nodes.append(node)"
_SCALED = '        if node.op == "scale":\n'

FAULTS = (
    Fault(
        "attention",
        "keeps the shape",
        "attention.py",
        'w.matrix("o.weight", x.type.cols, inner)',
        'w.matrix("o.weight", x.type.cols + 1, inner)',
        "x is tokens × 32, y is tokens × 33",
    ),
    Fault(
        "attention",
        "names weights and states below its scope",
        "attention.py",
        'w.name("kv")',
        '"kv"',
        "'kv' is not below",
    ),
    Fault(
        "attention",
        "runs on numpy and depends on its rows",
        "attention.py",
        'g.op("mul", mixed, gate)',
        'g.op("scale", g.op("mul", mixed, gate), factor=0.0)',
        "other rows give the same outputs",
    ),
    Fault(
        "attention",
        "mixes rows of one slot only",
        "attention.py",
        'g.op("mul", mixed, gate)',
        "gate",
        "nothing is mixed",
    ),
    Fault(
        "attention",
        "chunks equal the whole",
        "attention.py",
        'gate = g.op("activation", project("gate"), kind="sigmoid")',
        _SEES_THE_CALL,
        "cut at (0, 1, 5, 6, 12) and whole: differ by",
    ),
    Fault(
        "ffn",
        "keeps the shape",
        "ffn.py",
        'w.matrix("down.weight", x.type.cols, self.hidden)',
        'w.matrix("down.weight", 3, self.hidden)',
        "y is tokens × 3",
    ),
    Fault(
        "ffn",
        "names weights and states below its scope",
        "ffn.py",
        'w.matrix("up.weight", ',
        'g.graph.weight("up.weight", ',
        "'up.weight' is not below",
    ),
    Fault(
        "norm",
        "runs on numpy and depends on its rows",
        "norm.py",
        'y = g.op("mul", y, w.vector("weight", width))',
        'y = g.op("scale", g.op("mul", y, w.vector("weight", width)), factor=0.0)',
        "other rows give the same outputs",
    ),
    Fault(
        "position",
        "tells positions apart",
        "position.py",
        "(2 * np.pi / waves)",
        "(0 / waves)",
        "positions 0 and 1 give the same row",
    ),
    Fault(
        "op",
        "shape rule agrees with the reference",
        "op.py",
        "return (np.maximum(x, zero) + slope.rows_f32() * np.minimum(x, zero),)",
        "return ((np.maximum(x, zero) + slope.rows_f32() * np.minimum(x, zero))[:, 1:],)",
        "the shape rule says output 0 is (12, 13), the reference made (12, 12)",
    ),
    Fault(
        "op",
        "shape rule refuses operands of another kind",
        "op.py",
        "if not isinstance(x, TensorType) or not isinstance(slope, WeightType):",
        "if False:",
        "operand 0 as a state: AttributeError",
    ),
    Fault(
        "op",
        "reference is deterministic",
        "op.py",
        "    x, slope = inputs\n    zero",
        "    x, slope = inputs\n"
        "    x = x + np.random.default_rng().random(x.shape, np.float32)\n"
        "    zero",
        "two runs of the reference differ",
    ),
    Fault(
        "op",
        "reference leaves its inputs alone",
        "op.py",
        "    x, slope = inputs\n    zero",
        "    x, slope = inputs\n    x *= 2\n    zero",
        "input 0 has other numbers after the reference",
    ),
    Fault(
        "op",
        "c kernel equals the reference",
        "kernels/NAME.c",
        "above + slope[i] * below",
        "above - slope[i] * below",
        "C and numpy differ by",
    ),
    Fault(
        "op",
        "c kernel refuses operands of another kind",
        "kernels/NAME.c",
        "return syn_is_vector(slope, x->cols) ? 0 : 3;",
        "return slope ? 0 : 3;",
        "operand 1 is a weight in the shape rule; the kernel's check accepts none there",
    ),
    Fault(
        "quant_format",
        "rows have the declared bytes",
        "format.py",
        "block: int = BLOCK\n",
        "block: int = 24\n",
        "it accepts 16 columns, its block is 24",
    ),
    Fault(
        "quant_format",
        "decode gives float32 of the shape",
        "format.py",
        "return self.split(raw, cols).numbers()",
        "return self.split(raw, cols).numbers().astype(np.float64)",
        "decode gave float64 (3, 16), it must be float32 (3, 16)",
    ),
    Fault(
        "quant_format",
        "error is within what it declares",
        "format.py",
        "relative_error: float = 0.5 / 7 + 2.0**-10",
        "relative_error: float = 0.01",
        "declared 0.01",
    ),
    Fault(
        "quant_format",
        "zeros and extremes stay finite",
        "format.py",
        "return Runs(scale, codes",
        "return Runs(scale / scale * scale, codes",
        "zeros became nan",
    ),
    Fault(
        "quant_format",
        "any bytes can be decoded",
        "format.py",
        "        codes = np.empty((*scale.shape, BLOCK), dtype=np.int8)\n",
        "        codes = np.empty((*scale.shape, BLOCK), dtype=np.int8)\n"
        "        if not np.isfinite(scale).all():\n"
        "            raise ValueError('a scale is not finite')\n",
        "raised ValueError: a scale is not finite",
    ),
    Fault(
        "quant_format",
        "is held bit for bit",
        "format.py",
        "return self.split(raw, cols).numbers()",
        "return self.split(raw, cols).numbers() * np.float32(1.5)",
        "split and decode give other numbers",
    ),
    Fault(
        "quant_format",
        "name and code are its own",
        "format.py",
        "code: int = 0",
        "code: int = 6",
        "code 6 is that of 'q8_0'",
    ),
    Fault(
        "weight_loader",
        "opens its sample",
        "loader.py",
        "int(array.offset), data)",
        "int(array.offset), data[4:])",
        "has 12 bytes, it must have 16",
    ),
    Fault(
        "weight_loader",
        "opens its sample",
        "loader.py",
        "def open(self, path: Path, formats: Formats = CORE_FORMATS)",
        "def open(self, path: Path)",
        "raised TypeError",
    ),
    Fault(
        "weight_loader",
        "leaves other files to others",
        "loader.py",
        "return path.is_dir() and",
        "return path.is_dir() or",
        "claims(empty) is True, it must be False",
    ),
    Fault(
        "weight_loader",
        "claims reads little",
        "loader.py",
        'any(path.glob(f"*{SUFFIX}"))',
        'any([file.read_bytes() for file in path.glob(f"*{SUFFIX}")])',
        "at most 1048576",
    ),
    Fault(
        "weight_loader",
        "refuses what is absent",
        "loader.py",
        "metadata = read_json(path / CONFIG)",
        "metadata = {}",
        "each of config.json, norm.weight.npy, table.weight.npy may be missing unnoticed",
    ),
    Fault(
        "weight_loader",
        "refuses what is damaged",
        "loader.py",
        "    ValueError,\n",
        "",
        "raised ValueError",
    ),
    Fault(
        "model",
        "claims its sample",
        "family.py",
        "claims=(Claim(hf=",
        "claims=(Claim(gguf=",
        "it does not claim its own sample",
    ),
    Fault(
        "model",
        "refuses a bad config by key",
        "family.py",
        'read.number("layer_norm_eps", least=0, most=1)',
        'float(read.values.get("layer_norm_eps", 1e-5))',
        "layer_norm_eps = None: raised TypeError",
    ),
    Fault(
        "model",
        "weight map covers the graph",
        "family.py",
        '    "norm.bias": "model.norm.bias",\n',
        "",
        "weight 'norm.bias' of the graph has no tensor in the map of hf",
    ),
    Fault(
        "model",
        "runs in chunks as in one call",
        "family.py",
        '(SublayerConfig("attention", norm, attention),',
        '(SublayerConfig("attention", norm, attention), SublayerConfig("call", norm,'
        ' ComponentConfig("attention", "gqa", {**attention.options, "source": "call"})),',
        "chunks and the whole differ by",
    ),
    Fault(
        "tokenizer",
        "names files of its own",
        "tokenizer.py",
        'FILE = "NAME_vocabulary.txt"',
        'FILE = "tokenizer.json"',
        "'tokenizer.json' is not its own",
    ),
    Fault(
        "tokenizer",
        "refuses what is damaged",
        "tokenizer.py",
        "    except ValueError:\n",
        "    except KeyError:\n",
        "raised ValueError",
    ),
    Fault(
        "tokenizer",
        "ids are in range",
        "tokenizer.py",
        "        return len(self.tokens)\n",
        "        return len(self.ids)\n",
        "is not from 0 to 260",
    ),
    Fault(
        "tokenizer",
        "text comes back",
        "tokenizer.py",
        'text.encode("utf-8", "replace")',
        'text.lower().encode("utf-8", "replace")',
        "'Once upon a time' came back as 'once upon a time'",
    ),
    Fault(
        "tokenizer",
        "pieces make the text",
        "tokenizer.py",
        'b"".join(self.piece(id) for id in ids)',
        'b"".join(self.tokens[id] if id < self.size else b"" for id in ids).replace(b"a", b"`")',
        "streamed 'a', decoded '`'",
    ),
    Fault(
        "tokenizer",
        "special tokens are no text",
        "tokenizer.py",
        'b"" if number in words.values() else',
        'b"a" if number in words.values() else',
        "decode to 'aa'",
    ),
    Fault(
        "tokenizer",
        "encodes what it decodes",
        "tokenizer.py",
        "if special and begin is not None else",
        "if begin is not None else",
        "the empty text without special tokens is [261]",
    ),
    Fault(
        "preprocessor",
        "gives finite float32 rows",
        "preprocessor.py",
        "dtype=np.float32).reshape(1, -1)",
        "dtype=np.float64).reshape(1, -1)",
        "it gave float64 (1, 3072), it must be float32 (rows, 3072)",
    ),
    Fault(
        "preprocessor",
        "is deterministic and leaves its input alone",
        "preprocessor.py",
        "        height, width, _ = samples.shape\n",
        "        height, width, _ = samples.shape\n        samples[0] ^= 1\n",
        "it changed the array",
    ),
    Fault(
        "preprocessor",
        "depends on its input",
        "preprocessor.py",
        ".astype(np.float32) / 255",
        ".astype(np.float32) * 0",
        "another array gives the same rows",
    ),
    Fault(
        "preprocessor",
        "refuses what does not fit",
        "preprocessor.py",
        "if not fits or samples.dtype != np.uint8:",
        "if False:",
        "an array of shape (): raised ValueError",
    ),
    Fault(
        "sampler",
        "ids are in range",
        "sampler.py",
        'return int(np.searchsorted(sums, draw * sums[-1], side="right"))',
        'return int(np.searchsorted(sums, draw * sums[-1], side="right")) + 1',
        "of 1",
    ),
    Fault(
        "sampler",
        "leaves the logits alone",
        "sampler.py",
        "        top = float(logits.max())\n",
        "        top = float(logits.max())\n        logits -= top\n",
        "it changed the logits",
    ),
    Fault(
        "sampler",
        "never chooses the impossible",
        "sampler.py",
        "weights[weights < self.least] = 0",
        "weights += 0.05",
        "whose logit is -inf",
    ),
    Fault(
        "sampler",
        "prefers the likely",
        "sampler.py",
        "- top) / self.temperature)",
        "- top) / 1e6)",
        "the likeliest id was chosen",
    ),
    Fault(
        "sampler",
        "repeats with its seed",
        "sampler.py",
        "np.random.PCG64(self.seed)",
        "np.random.PCG64()",
        "two samplers with seed 3 choose differently",
    ),
    Fault(
        "pass",
        "outputs stay the same",
        "rewrite.py",
        _APPEND,
        f'{_SCALED}            node = attrs.evolve(node, options={{"factor": 2.0}})\n{_APPEND}',
        "two_towers: the outputs differ by",
    ),
    Fault(
        "pass",
        "leaves the graph it was given alone",
        "rewrite.py",
        _APPEND,
        f'{_SCALED}            node.options["factor"] = 2.0\n{_APPEND}',
        "two_towers: the graph that went in is another now",
    ),
    Fault(
        "pass",
        "settles",
        "rewrite.py",
        _APPEND,
        f'{_SCALED}            factor = float(node.options["factor"]) + 1\n'
        f'            node = attrs.evolve(node, options={{"factor": factor}})\n{_APPEND}',
        "two_towers: still changing the graph at run 8",
    ),
    Fault(
        "pass",
        "makes only the ops it declares",
        "rewrite.py",
        _APPEND,
        f'{_SCALED}            node = attrs.evolve(node, op="activation")\n{_APPEND}'.replace(
            '"scale"', '"softcap"'
        ).replace('"activation"', '"tanh_cap"'),
        "it made op 'tanh_cap', it declares none",
    ),
    Fault(
        "backend",
        "says its name and whether it works",
        "backend.py",
        'name: str = "NAME"',
        'name: str = "other"',
        "it says 'other'",
    ),
    Fault(
        "backend",
        "ops match their reference",
        "backend.py",
        '    "linear": by_row,\n',
        '    "linear": by_row,\n'
        '    "scale": lambda op: lambda call, inputs, options: (inputs[0],),\n',
        "scale: differs from numpy by",
    ),
    Fault(
        "backend",
        "models match numpy",
        "backend.py",
        '    "linear": by_row,\n',
        '    "linear": by_row,\n'
        '    "scale": lambda op: lambda call, inputs, options: (inputs[0],),\n',
        "two_towers: differs from numpy by",
    ),
    Fault(
        "backend",
        "threads do not change a bit",
        "backend.py",
        "            own = REFERENCES.get(name)\n",
        "            own = REFERENCES.get(name)\n"
        '            if name == "add" and threads == 2:\n'
        "                return attrs.evolve(op, reference=lambda call, inputs, options: (\n"
        "                    op.reference(call, inputs, options)[0] + np.float32(1e-3),))\n",
        "2 threads give other bits than one",
    ),
    Fault(
        "backend",
        "batched equals alone",
        "backend.py",
        '"linear": by_row,',
        '"linear": lambda op: lambda call, inputs, options: tuple(\n'
        "        y + np.float32(1e-3 * len(y)) for y in op.reference(call, inputs, options)),",
        "a slot in chunks and in one call has other bits",
    ),
    Fault(
        "backend",
        "copied state goes on alike",
        "backend.py",
        _RAN,
        _FORGETS,
        "begins at position 20, it has seen 0",
    ),
    Fault(
        "backend",
        "saved state goes on alike",
        "backend.py",
        _RAN,
        _LOADS_LESS,
        "f32: a slot that was saved and loaded goes on unlike the original",
    ),
    Fault(
        "backend",
        "smaller position truncates",
        "backend.py",
        _RAN,
        _REMEMBERS,
        "a slot set back to position 10 remembers more than 10",
    ),
    Fault(
        "backend",
        "shared pages are copied before they are written",
        "backend.py",
        _RAN,
        _COPIES_ALL,
        "a slot that remembers 70 positions went on at position 75",
    ),
    Fault(
        "backend",
        "pages run out by name",
        "backend.py",
        _RAN,
        _RAN.replace(", pages=pages", ", pages=pages and pages + 1"),
        "a fourth page was given",
    ),
    Fault(
        "backend",
        "bad calls are refused",
        "backend.py",
        _RAN,
        _SWALLOWS,
        "id high: the call was run, it must be a UsageError",
    ),
    Fault(
        "target",
        "exports into a new folder",
        "target.py",
        "            os.rename(part, target)\n",
        '            os.rename(part, target)\n            Path(f"{target}.log").write_text("")\n',
        "'out.log'",
    ),
    Fault(
        "target",
        "exports the same bytes twice",
        "target.py",
        '        "schema": 1,\n',
        '        "schema": 1,\n        "run": secrets.token_hex(4),\n',
        "two exports of one model differ in manifest.json",
    ),
    Fault(
        "target",
        "exports another model as other bytes",
        "target.py",
        "write_program(executable.program, part / PROGRAM)",
        '(part / PROGRAM).write_bytes(b"")',
        "the model is not in them",
    ),
    Fault(
        "target",
        "refuses a folder that is there",
        "target.py",
        'raise UsageError(f"{target} is there already; name a folder that is not")',
        "shutil.rmtree(target)",
        "was not refused",
    ),
    Fault(
        "target",
        "leaves nothing when it fails",
        "target.py",
        "            shutil.rmtree(part, ignore_errors=True)\n",
        "            pass\n",
        "the export failed and left .out.",
    ),
    Fault(
        "command",
        "is a click command of its own name",
        "command.py",
        '@click.command("NAME")',
        '@click.command("other")',
        "the command is named 'other'",
    ),
    Fault(
        "command",
        "says what it does",
        "command.py",
        ', help="How many to list."',
        "",
        "option 'count' has no help text",
    ),
    Fault(
        "command",
        "shows its help without running",
        "command.py",
        '@click.command("NAME")',
        '@click.command("NAME", add_help_option=False)',
        "--help` ended with 2",
    ),
    Fault(
        "command",
        "refuses an unknown option",
        "command.py",
        '@click.command("NAME")',
        '@click.command("NAME", context_settings={"ignore_unknown_options": True})',
        "an unknown option ended with 1, not with 2",
    ),
)
