"""Hostile torch files by name. Those that could run code would make the file CANARY names."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.loaders.torch_files import (
    MARK,
    REDUCE,
    STOP,
    TUPLE,
    Entry,
    archive,
    dictionary,
    legacy_tensor,
    number,
    numbers,
    pickled,
    row,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    zipped,
)

GOOD = dictionary({"w": tensor()})


def code_that_runs(canary: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield (name, file, words of the refusal): each makes `canary` where pickle would load it."""
    shell = f"touch {canary}"
    python = f"open({str(canary)!r}, 'w').close()"
    asked = row(text(shell))
    yield "os_system", torch_zip(b"cos\nsystem\n" + asked + REDUCE), "'os.system'"
    yield "posix_system", torch_zip(b"cposix\nsystem\n" + asked + REDUCE), "'posix.system'"
    evaluate = row(text(python))
    yield "eval", torch_zip(b"cbuiltins\neval\n" + evaluate + REDUCE), "'builtins.eval'"
    yield "python2_eval", torch_zip(b"c__builtin__\neval\n" + evaluate + REDUCE), "__builtin__.eval"
    inside = dictionary({"w": tensor(), "x": b"cbuiltins\nexec\n" + evaluate + REDUCE})
    yield "exec_beside_a_tensor", torch_zip(inside), "'builtins.exec'"
    stacked = text("os") + text("system") + b"\x93" + asked + REDUCE
    yield "stack_global", torch_zip(stacked), "'os.system'"
    short = b"\x8c\x02os\x8c\x06system\x93" + asked + REDUCE
    yield "short_stack_global", torch_zip(short), "'os.system'"
    yield "inst", torch_zip(MARK + text(shell) + b"ios\nsystem\n"), "opcode INST"
    yield "obj", torch_zip(MARK + b"cos\nsystem\n" + text(shell) + b"o"), "'os.system'"
    known = MARK + b"ccollections\nOrderedDict\n" + b"o"
    yield "obj_of_a_known_global", torch_zip(known), "opcode OBJ"
    popen = b"csubprocess\nPopen\n" + row(row(text("touch"), text(str(canary))))
    yield "new_object", torch_zip(popen + b"\x81"), "'subprocess.Popen'"
    yield "new_object_ex", torch_zip(popen + b"}\x92"), "'subprocess.Popen'"
    yield "new_known_object", torch_zip(b"ctorch\nSize\n" + row() + b"\x81"), "torch.Size"
    attribute = b"cbuiltins\ngetattr\n" + row(b"cos\nsystem\n", text("x")) + REDUCE
    yield "getattr", torch_zip(attribute), "'builtins.getattr'"
    yield "dotted", torch_zip(text("torch") + text("os.system") + b"\x93"), "'torch.os.system'"
    nested = pickle.dumps(python)
    load = b"ctorch.storage\n_load_from_bytes\n" + row(
        b"B" + struct.pack("<I", len(nested)) + nested
    )
    yield "nested_pickle", torch_zip(load + REDUCE), "'torch.storage._load_from_bytes'"
    loads = b"cpickle\nloads\n" + row(text(nested)) + REDUCE
    yield "pickle_loads", torch_zip(loads), "'pickle.loads'"
    yield "torch_load", torch_zip(b"ctorch\nload\n" + asked + REDUCE), "'torch.load'"
    yield "torch_hub", torch_zip(b"ctorch.hub\nload\n" + asked + REDUCE), "'torch.hub.load'"
    yield "run_path", torch_zip(b"crunpy\nrun_path\n" + asked + REDUCE), "'runpy.run_path'"
    build = b"ccollections\nOrderedDict\n)R" + text("x") + b"b"
    yield "build_of_a_text", torch_zip(build), "sets the state"
    slots = tensor() + dictionary({"__class__": number(1)}) + b"b"
    yield "build_of_a_tensor", torch_zip(dictionary({"w": slots})), "PickledTensor"
    yield "extension", torch_zip(b"\x82\x01"), "opcode EXT1"
    hook = dictionary({"w": tensor() + b"cbuiltins\nexec\n" + evaluate + REDUCE + b"b"})
    yield "exec_as_a_state", torch_zip(hook), "'builtins.exec'"
    yield "call_of_a_text", torch_zip(text("os.system") + asked + REDUCE), "nothing to call"
    yield "call_of_a_dtype", torch_zip(b"ctorch\nfloat32\n" + row() + REDUCE), "nothing to call"
    yield "legacy_os_system", torch_legacy(b"cos\nsystem\n" + asked + REDUCE), "'os.system'"
    yield "bare_pickle", pickled(b"cos\nsystem\n" + asked + REDUCE), "'os.system'"
    yield "protocol_0", b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.", "neither"
    legacy = torch_legacy(GOOD.replace(b"Q", b"cos\nsystem\n" + asked + REDUCE, 1))
    yield "exec_as_a_storage", legacy, "'os.system'"


def bad_pickles() -> Iterator[tuple[str, bytes, str]]:
    """Yield pickles that mean nothing, too much, or something else than tensors."""
    put = b"".join(b"}r" + struct.pack("<I", n * 4099) + b"0" for n in range(100))
    yield "memo_with_pops", torch_zip(put), "opcode POP"
    yield (
        "memo_far_away",
        torch_zip(b"}r\xff\xff\xff\xff" + text("w") + tensor() + b"s.."),
        "goes on",
    )
    grow = b"".join(b"r" + struct.pack("<I", n) for n in range(600_000))
    yield "memo_bomb", torch_zip(b"}" + grow), "remembers more"
    doubled = b"]q\x00" + b"".join(b"](h%bh%beq%b" % (p, p, n) for p, n in steps(60))
    yield "list_bomb_as_values", torch_zip(doubled), "values left"
    levels = b")q\x00" + b"".join(b"h%bh%b\x86q%b" % (p, p, n) for p, n in steps(60))
    yield "tuple_bomb_as_a_key", torch_zip(b"}" + MARK + levels + TUPLE + b"Ns"), "tuple for a key"
    sizes = b"ctorch\nSize\n" + MARK + levels + TUPLE + REDUCE
    yield "tuple_bomb_as_arguments", torch_zip(sizes), "not take"
    hashed = b"})" + b"\x85" * 100_000 + b"Ns"
    yield "deep_tuple_as_a_key", torch_zip(hashed), "tuple for a key"
    yield "deep_list", torch_zip(b"]" * 20_000), "on its stack"
    yield "deep_marks", torch_zip(MARK * 20_000), "on its stack"
    yield "opcodes_without_end", torch_zip(b"N\x85" * 700_000), "on its stack|opcodes"
    yield "tuples_without_end", torch_zip(b")" + b"\x85" * 1_100_000), "opcodes"
    collide = b"".join(number(((1 << 61) - 1) * n) + b"N" for n in range(1, 5000))
    yield "keys_that_collide", torch_zip(b"}(" + collide + b"u"), "int for a key"
    yield "bool_key", torch_zip(b"}\x88Ns"), "bool for a key"
    yield "empty_stack", torch_zip(REDUCE), "empty stack"
    yield "pop_under_a_mark", torch_zip(b"})" + MARK + REDUCE), "empty stack"
    yield "no_mark", torch_zip(b"}u"), "mark"
    yield "odd_items", torch_zip(b"}(" + text("w") + b"u"), "without a value"
    yield "fills_a_tuple", torch_zip(b")" + text("w") + b"Ns"), "fills a tuple"
    yield "appends_to_a_dict", torch_zip(b"}Na"), "fills a dict"
    yield "never_remembered", torch_zip(b"h\x07"), "never remembered"
    yield "no_stop", zipped(archive(b"\x80\x02}")), "cut off"
    yield "empty_pickle", zipped(archive(b"")), "cut off"
    yield "after_stop", zipped(archive(pickled(GOOD) + b"N.")), "goes on"
    yield "protocol_255", zipped(archive(b"\x80\xff" + GOOD + STOP)), "protocol 255"
    yield "protocol_1", zipped(archive(b"\x80\x01" + GOOD + STOP)), "protocol 1"
    yield "unknown_opcode", torch_zip(b"\xff"), "0xff"
    yield "text_of_4_GB", torch_zip(b"X\xff\xff\xff\xff"), "4294967295"
    yield "text_of_8_bytes", torch_zip(b"\x8d" + b"\xff" * 8), "BINUNICODE8"
    yield "text_of_less_than_none", torch_zip(b"T\xff\xff\xff\xff"), "-1"
    yield "text_cut", torch_zip(text("w")[:-1] + b""), "cut off|values left|UTF-8|takes"
    yield "text_not_utf8", torch_zip(b"X\x02\x00\x00\x00\xff\xfe"), "UTF-8"
    yield "text_surrogate", torch_zip(text(b"\xed\xa0\x80")), "UTF-8"
    yield "frame_past_the_end", torch_zip(b"\x95" + b"\xff" * 7 + b"\x0f" + GOOD), "frame"
    yield "long_of_255_bytes", torch_zip(b"\x8a\xff" + b"\x01" * 255), "number of 255 bytes"
    yield "long4", torch_zip(b"\x8b\xff\xff\xff\x7f"), "LONG4"
    yield "decimal_bomb", torch_zip(b"L" + b"9" * 100_000 + b"\n"), "opcode LONG"
    yield "global_without_end", torch_zip(b"c" + b"a" * 4000), "without end"
    yield "global_by_no_name", torch_zip(number(1) + number(2) + b"\x93"), "no name"
    yield "persistent_text", torch_zip(b"P0\n"), "PERSID"
    yield "persistent_module", torch_zip(row(text("module"), text("x")) + b"Q"), "no storage"
    yield "persistent_none", torch_zip(b"NQ"), "no storage"
    untyped = row(text("storage"), text("FloatStorage"), text("0"), text("cpu"), number(6)) + b"Q"
    yield "storage_of_no_type", torch_zip(untyped), "unknown type"
    yield "storage_of_a_dtype", torch_zip(storage("0", "float32", 6)), "unknown type"
    yield "storage_less_than_none", torch_zip(storage("0", "FloatStorage", -6)), "key or size"
    yield "storage_key_long", torch_zip(storage("0" * 5000, "FloatStorage", 6)), "key or size"
    view = storage("0", "FloatStorage", 6, row(text("0"), number(0), number(3)))
    yield "storage_view", torch_zip(view), "no storage"
    twice = {"a": tensor(), "b": tensor(kind="IntStorage")}
    yield "storage_of_two_types", torch_zip(dictionary(twice)), "second type"
    yield "no_dictionary", torch_zip(tensor()), "expected a dictionary"
    yield "no_tensor", torch_zip(dictionary({"epoch": number(3)})), "no dictionary of tensors"
    yield "empty_dictionary", torch_zip(b"}"), "no dictionary of tensors"
    itself = b"}q\x00" + text("state_dict") + b"h\x00s"
    yield "dictionary_in_itself", torch_zip(itself), "no dictionary of tensors"
    two = {"model": GOOD, "state_dict": dictionary({"v": tensor()})}
    yield "two_dictionaries", torch_zip(dictionary(two)), "choose one with --key"
    both = {"w": tensor(), "model": GOOD}
    yield "tensors_here_and_there", torch_zip(dictionary(both)), "choose one with --key"
    yield "text_among_tensors", torch_zip(dictionary({"w": tensor(), "x": text("y")})), "is a str"
    yield "name_empty", torch_zip(dictionary({"": tensor()})), "no name"
    yield "name_reserved", torch_zip(dictionary({"__metadata__": tensor()})), "no name"
    yield "name_escape", torch_zip(dictionary({"\x1b[2Jw": tensor()})), "no name"
    yield "name_long", torch_zip(dictionary({"w" * 60_000: tensor()})), "no name"
    yield "name_a_number", torch_zip(b"}" + number(3) + tensor() + b"s"), "no name"


def steps(count: int) -> list[tuple[bytes, bytes]]:
    """Return pairs of neighbouring places in the memo."""
    return [(bytes([n]), bytes([n + 1])) for n in range(count)]


def bad_tensors() -> Iterator[tuple[str, bytes, str]]:
    """Yield tensors that look out of their storage or are of no type that is read."""

    def one(**options: object) -> bytes:
        return torch_zip(dictionary({"w": tensor(**options)}))  # type: ignore[arg-type]

    def of_bytes(size: int, **options: object) -> bytes:
        body = dictionary({"w": tensor(**options)})  # type: ignore[arg-type]
        return torch_zip(body, {"0": bytes(size)})

    far = 1 << 61
    yield "past_its_storage", one(shape=(2, 4), strides=(4, 1)), "ends at number 7"
    yield "offset_past", one(offset=1), "ends at number 6"
    yield "offset_far", one(offset=far), "ends at number"
    yield "offset_below", one(offset=-1), "does not take"
    yield "stride_far", one(strides=(far, 1)), "ends at number"
    yield "stride_below", one(strides=(-3, 1)), "does not take"
    yield "shape_below", one(shape=(-2, 3)), "does not take"
    yield "shape_wraps", one(shape=(1 << 33, 1 << 33), strides=(0, 0)), "repeats"
    yield "shape_beyond_64_bits", one(shape=(1 << 70, 1), strides=(0, 0)), "does not take"
    yield "shape_empty_and_vast", one(shape=(0, far), strides=(1, 1)), "no file holds"
    yield "expanded_bomb", one(shape=(1 << 30, 6), strides=(0, 1)), "repeats"
    yield "strides_of_other_rank", one(strides=(1,)), "does not take"
    yield "axes_9", one(shape=(1,) * 9, strides=(1,) * 9), "9 axes"
    yield "axes_5000", one(shape=(1,) * 5000, strides=(1,) * 5000), "does not take"
    yield "shape_of_texts", one().replace(numbers((2, 3)), row(text("2"), text("3"))), "."
    yield "float64", of_bytes(48, kind="DoubleStorage"), "float64"
    yield "int64", of_bytes(48, kind="LongStorage"), "int64"
    yield "complex", of_bytes(48, kind="ComplexFloatStorage"), "complex64"
    yield "storage_larger_than_its_entry", one(count=7), "24 bytes, its pickle says 28"
    yield "storage_smaller_than_its_entry", one(count=5), "24 bytes, its pickle says 20"
    yield "storage_vast", one(count=far), "its pickle says"
    yield "storage_not_there", one(key="1"), "not in the file"
    yield "storage_outside", one(key="../../../etc/passwd"), "not in the file"
    many = {f"w{n:03}": tensor(shape=(3, 2), strides=(1, 3)) for n in range(2000)}
    views = torch_zip(dictionary({**many}), {"0": bytes(24)})
    yield "good_views_are_many", views, None  # type: ignore[misc]
    large = 1 << 20
    tied = {f"w{n}": tensor(shape=(large,), strides=(1,), count=large) for n in range(9)}
    yield "views_that_grow", torch_zip(dictionary(tied), {"0": bytes(4 * large)}), "times the file"


def bad_zips() -> Iterator[tuple[str, bytes, str]]:
    """Yield containers that are cut, packed, doubled or lie about their sizes."""
    good = archive(pickled(GOOD))
    whole = zipped(good)

    def changed(at: int, **fields: object) -> bytes:
        entries = archive(pickled(GOOD))
        for name, value in fields.items():
            setattr(entries[at], name, value)
        return zipped(entries)

    packed = zlib.compress(bytes(1 << 20))[2:-4]
    bomb = archive(pickled(GOOD))
    bomb[2] = Entry("archive/data/0", packed, method=8, size=1 << 20, packed=len(packed))
    yield "zip_bomb", zipped(bomb), "compressed"
    squeezed = zlib.compress(pickled(GOOD))[2:-4]
    pickle_bomb = [
        Entry("archive/data.pkl", squeezed, method=8, size=1 << 30, packed=99),
        *good[1:],
    ]
    yield "zip_pickle_bomb", zipped(pickle_bomb), "compressed"
    yield "zip_stored_but_larger", changed(0, size=1 << 30, packed=10), "compressed"
    yield "zip_size_past_the_end", changed(2, size=1 << 30), "left in the file"
    yield "zip_size_maximal", changed(2, size=0xFFFFFFFF), "zip64"
    wide = struct.pack("<2HQQ", 1, 16, 1 << 62, 1 << 62)
    yield "zip64_size_vast", changed(2, size=0xFFFFFFFF, central=wide), "left in the file"
    yield "zip_encrypted", changed(0, flags=0x0801), "encrypted"
    yield "zip_damaged", changed(2, crc=123), "damaged"
    yield "zip_pickle_damaged", changed(0, crc=123), "damaged"
    yield "zip_renamed_inside", changed(0, local_name="archive/data.pkx"), "named otherwise"
    yield "zip_header_elsewhere", changed(2, header=7), "header"
    yield "zip_header_past_the_end", changed(2, header=1 << 30), "outside"
    yield "zip_twice", zipped([*good, good[2]]), "twice"
    yield "zip_two_pickles", zipped([*good, Entry("other/data.pkl", pickled(GOOD))]), "2 entries"
    yield "zip_no_pickle", zipped(good[1:]), "0 entries"
    yield "zip_empty", zipped([]), "neither|0 entries"
    yield "zip_big_endian", changed(1, data=b"big"), "big"
    yield "zip_count_lies", zipped(good, count=3), "its end says 3"
    yield "zip_count_vast", zipped(good, count=0xFFFF), "its end says"
    yield "zip_directory_elsewhere", zipped(good, directory_offset=0), "ends at"
    yield "zip_directory_past_the_end", zipped(good, directory_offset=1 << 31), "ends at"
    yield "zip_tail", zipped(good, tail=b"x"), "end of the file"
    yield "zip_cut", whole[:-30], "end of the file"
    yield "zip_cut_in_half", whole[: len(whole) // 2], "end of the file"
    yield "zip_four_bytes", whole[:4], "outside|end"
    yield "zip_name_not_utf8", whole.replace(b"archive/version", b"archive/\xff\xfersion"), "UTF-8"
    overlap = zipped([*archive(pickled(dictionary({"w": tensor(), "v": tensor("1")}))),
                      Entry("archive/data/1", bytes(24))])  # fmt: skip
    inner = overlap.index(b"archive/data/1") - 30
    first = overlap.index(b"archive/data/0") - 30
    yield "zip_overlap", nest(overlap, first, inner), "overlaps|named otherwise|twice|bytes"
    script = [Entry("archive/constants.pkl", pickled(b")")), Entry("archive/code/x.py", b"")]
    yield "torchscript", zipped(script), "0 entries"


def nest(data: bytes, first: int, inner: int) -> bytes:
    """Point the directory's record of the inner entry at the first one's header."""
    return data.replace(struct.pack("<I", inner) + b"archive/data/1",
                        struct.pack("<I", first) + b"archive/data/1")  # fmt: skip


def bad_legacy_files() -> Iterator[tuple[str, bytes, str]]:
    """Yield older files that are cut or say two things."""
    good = dictionary({"w": legacy_tensor()})
    whole = torch_legacy(good)
    yield "legacy_cut_in_the_numbers", whole[:-1], "are left"
    yield "legacy_cut_in_the_count", whole[:-28], "numbers, its pickle says|are left"
    yield "legacy_cut_in_the_pickle", whole[:200], "cut off|without end"
    yield "legacy_tail", whole + b"x", "end here"
    yield "legacy_other_key", torch_legacy(good, keys=("1",)), "does not name"
    yield "legacy_key_twice", torch_legacy(good, keys=("0", "0")), "does not name"
    yield "legacy_no_keys", torch_legacy(good, keys=(), data=b""), "does not name"
    vast = torch_legacy(good, data=struct.pack("<q", 1 << 60) + bytes(24))
    yield "legacy_count_vast", vast, "its pickle says 6"
    both = dictionary({"w": legacy_tensor(count=1 << 60)})
    yield "legacy_both_vast", torch_legacy(both, data=struct.pack("<q", 1 << 60)), "are left"
    yield "legacy_less", torch_legacy(good, data=struct.pack("<q", -1) + bytes(24)), "its pickle"
    other = whole.replace(number(1001) + STOP, number(1002) + STOP, 1)
    yield "legacy_version", other, "1001"
    yield "legacy_big_endian", whole.replace(b"little_endian\x88", b"little_endian\x89"), "little"
    yield "other_pickle", pickled(dictionary({"w": number(1)})), "not torch's"
    viewed = dictionary({"w": tensor(more=(row(text("0"), number(0), number(6)),))})
    yield "legacy_view", torch_legacy(viewed), "no storage"


def other_files() -> Iterator[tuple[str, bytes, str]]:
    """Yield files that are nothing of the kind."""
    yield "nothing", b"", "no torch file"
    yield "three_bytes", b"PK\x03", "no torch file"
    yield "text_file", b"hello, world", "neither"
    yield "safetensors", struct.pack("<Q", 2) + b"{}", "neither"
    yield "gguf", b"GGUF" + bytes(60), "neither"
    yield "tar", b"sys_info" + bytes(504), "neither"
    yield "gzip", b"\x1f\x8b\x08" + bytes(60), "neither"


Make = Callable[[], Iterator[tuple[str, bytes, str]]]
QUIET: tuple[Make, ...] = (bad_pickles, bad_tensors, bad_zips, bad_legacy_files, other_files)


def hostile_files(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Return all of them: name → (file, pattern of the refusal)."""
    found: dict[str, tuple[bytes, str]] = {}
    for made in (code_that_runs(canary), *(make() for make in QUIET)):
        for name, data, words in made:
            assert name not in found, name
            if words is not None:
                found[name] = (data, words)
    return found


def good_files() -> dict[str, bytes]:
    """Return their controls: files as near to the hostile ones as can be, which must be read."""
    numbers_ = np.arange(6, dtype="<f4").tobytes()
    half = {"w": tensor(kind="HalfStorage"), "b": tensor("1", kind="BFloat16Storage")}
    zip64 = archive(pickled(GOOD))
    zip64[2].size = 0xFFFFFFFF
    zip64[2].packed = 0xFFFFFFFF
    zip64[2].central = struct.pack("<2HQQ", 1, 16, 24, 24)
    unsummed = archive(pickled(GOOD))
    for entry in unsummed:
        entry.crc = 0
    state = b"ccollections\nOrderedDict\n)R(" + text("w") + tensor() + b"u"
    metadata = state + dictionary({"_metadata": b"}"}) + b"b"
    parameter = b"ctorch._utils\n_rebuild_parameter\n" + row(tensor(), b"\x88", b"}") + REDUCE
    third = b"ctorch._utils\n_rebuild_tensor_v3\n" + row(
        storage("0", "FloatStorage", 6).replace(b"ctorch\nFloat", b"ctorch.storage\nUntyped")
        .replace(number(6) + TUPLE, number(24) + TUPLE),
        number(0), numbers((2, 3)), numbers((3, 1)), b"\x89", b"}", b"ctorch\nfloat32\n",
    ) + REDUCE  # fmt: skip
    step = dictionary({"step": tensor("1", (1,), (1,), count=1, kind="LongStorage")})
    framed = b"\x80\x04\x95" + struct.pack("<Q", len(GOOD) + 1) + GOOD + STOP
    stacked = GOOD.replace(b"ctorch._utils\n_rebuild_tensor_v2\n",
                           b"\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93")  # fmt: skip
    views = {
        "t": tensor(shape=(3, 2), strides=(1, 3)),
        "row": tensor(shape=(3,), strides=(1,), offset=3),
    }
    return {
        "plain": torch_zip(GOOD),
        "half": torch_zip(dictionary(half), {"0": bytes(12), "1": bytes(12)}),
        "zip64": zipped(zip64),
        "without_sums": zipped(unsummed),
        "metadata": torch_zip(metadata),
        "parameter": torch_zip(dictionary({"w": parameter})),
        "third_version": torch_zip(dictionary({"w": third})),
        "framed": zipped(archive(framed)),
        "stack_global": torch_zip(stacked),
        "views": torch_zip(dictionary(views)),
        "tied": torch_zip(dictionary({"a": tensor(), "b": tensor()})),
        "nested": torch_zip(dictionary({"epoch": number(3), "state_dict": GOOD})),
        "scalar_and_empty": torch_zip(dictionary({
            "s": tensor(shape=(), strides=()), "e": tensor(shape=(0, 3), strides=(3, 1)),
        })),
        "stride_of_one": torch_zip(dictionary({"w": tensor(shape=(1, 6), strides=(1 << 20, 1))})),
        "unused_int64": torch_zip(dictionary({"model": GOOD, "optimizer": step}),
                                  {"0": numbers_, "1": bytes(8)}),
        "legacy": torch_legacy(dictionary({"w": legacy_tensor()})),
    }  # fmt: skip
