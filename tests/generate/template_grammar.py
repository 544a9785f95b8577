"""A grammar of hostile chat templates: every filter, global and operator, nested at random."""

from __future__ import annotations

import random
import re

_FILTERS = """
abs attr('{w}') batch({e}) batch({e},{e}) capitalize center({e}) count default({e}) dictsort
escape filesizeformat first float forceescape format({e}) format({e},{e}) groupby('{w}')
indent({e}) indent({e},true,true) int int(base={e}) items join({e}) last length list lower
map('{f}') map('{f}',{e}) map(attribute='{w}') max min pprint random reject select
rejectattr('{w}') selectattr('{w}') replace({e},{e}) reverse round({e}) round({e},'floor') safe
slice({e}) slice({e},{e}) sort sort(attribute='{w}') string striptags sum sum(start={e}) title
tojson tojson(indent={e}) trim trim({e}) truncate({e}) unique upper urlencode urlize urlize({e})
wordcount wordwrap({e}) xmlattr
"""
_METHODS = """
center({e}) ljust({e},'x') rjust({e}) zfill({e}) expandtabs({e}) replace({e},{e}) join({e})
split({e}) rsplit() splitlines() format({e}) format({e},a={e}) format_map({e}) encode()
count({e}) find({e}) strip({e}) partition({e}) translate({e}) title() swapcase() items() keys()
values() get({e}) copy() append({e}) index({e}) bit_length() to_bytes({e}) hex() __class__
__init__ __globals__ __mro__ next() mro() real imag denominator isprintable()
"""
_WORDS = "role content real __class__ __init__ __globals__ 0 a format upper nothing"
_NAMES = "messages bos_token m x y ns loop self cycler joiner dict namespace range caller f"
_LITERALS = """
0 1 -1 7 255 65536 10**6 2**31 2**62 10**9 10**18 1.5 1e308 'a' '' '🚀' '%9d' '%*d' '{:9}'
'{0.a}' '{0[a]}' '%999999999d' '{:999999999}' '<a>' 'http://a.b/' [] {} () [1] [[1]] {'a':1}
true none 'a'*99999 '<'*65536 range(9) range(99999) 1048576 4096 1e-9 'ab' 'a'*50000 ' '*50000
"""
_OPERATORS = "+ - * / // % ** ~ == != < >= and or in is"
_TESTS = "defined none string mapping iterable sameas(1) divisibleby(0) in([1]) number odd"
FILTERS, METHODS, WORDS, NAMES = (text.split() for text in (_FILTERS, _METHODS, _WORDS, _NAMES))
LITERALS, OPERATORS, TESTS = (text.split() for text in (_LITERALS, _OPERATORS, _TESTS))


def expression(rng: random.Random, depth: int) -> str:
    """Return a random expression."""
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice(LITERALS if rng.random() < 0.6 else NAMES)
    inner = expression(rng, depth - 1)
    match rng.randrange(9):
        case 0 | 1 | 2:
            return f"({inner})|{filled(rng, rng.choice(FILTERS), depth)}"
        case 3:
            return f"({inner}).{filled(rng, rng.choice(METHODS), depth)}"
        case 4 | 5:
            operator = rng.choice(OPERATORS)
            other = rng.choice(TESTS) if operator == "is" else expression(rng, depth - 1)
            return f"({inner} {operator} {other})"
        case 6:
            return f"({inner})[{expression(rng, depth - 1)}]"
        case 7:
            name = rng.choice((*NAMES, "raise_exception", "strftime_now"))
            return f"{name}({inner}{rng.choice(('', ', ' + inner, ', a=' + inner))})"
        case _:
            return rng.choice(("[{0}, {0}]", "{{'a': {0}}}", "({0} if {0} else {0})")).format(inner)


def filled(rng: random.Random, form: str, depth: int) -> str:
    """Fill in arguments."""
    form = re.sub("{e}", lambda _: expression(rng, rng.choice((0, depth - 2))), form)
    form = form.replace("{w}", rng.choice(WORDS))
    return form.replace("{f}", rng.choice(FILTERS).partition("(")[0])


def statement(rng: random.Random, depth: int) -> str:
    """Return a random piece of a template."""
    value = expression(rng, rng.randrange(1, 4))
    if depth <= 0:
        return rng.choice((f"{{{{ {value} }}}}", f"{{% set x = {value} %}}"))
    body = "".join(statement(rng, depth - 1) for _ in range(rng.choice((1, 1, 2))))
    grown = rng.choice(("[ns.x, ns.x]", "ns.x ~ ns.x", "ns.x * 9", "ns.x|string", value))
    return rng.choice(
        (
            f"{{{{ {value} }}}}",
            f"{{% set x = {value} %}}{body}",
            f"{{% set ns = namespace(x={value}) %}}{{% for y in range({rng.choice((9, 60, 99999))})"
            f" %}}{{% set ns.x = {grown} %}}{{% endfor %}}{{{{ ns.x }}}}",
            f"{{% for m in {value} %}}{body}{{% else %}}x{{% endfor %}}",
            f"{{% for m in {value} recursive %}}{{{{ loop({value}) }}}}{{% endfor %}}",
            f"{{% macro f(x={value}) %}}{body}{{{{ f(x) }}}}{{% endmacro %}}{{{{ f({value}) }}}}",
            f"{{% if {value} %}}{body}{{% endif %}}",
            f"{{% call(x) f({value}) %}}{body}{{% endcall %}}",
            f"{{% filter {filled(rng, rng.choice(FILTERS), 2)} %}}{body}{{% endfilter %}}",
            f"{{% set x %}}{body}{{% endset %}}{{{{ x * 99 }}}}",
            f"{{% block a %}}{body}{{{{ self.a() }}}}{{% endblock %}}",
            f"{{% generation %}}{body}{{% endgeneration %}}",
        )
    )


def spliced(rng: random.Random, known: list[str]) -> str:
    """Return a known template with pieces of itself and of another exchanged."""
    pieces = re.split(r"(\W)", rng.choice(known)[:20_000])
    other = re.split(r"(\W)", rng.choice(known)[:20_000])
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(pieces))
        begin = rng.randrange(len(other))
        match rng.randrange(4):
            case 0:
                pieces[at : at + 1] = other[begin : begin + rng.randrange(1, 20)]
            case 1:
                del pieces[at : at + rng.randrange(1, 9)]
            case 2:
                pieces[at:at] = pieces[at : at + rng.randrange(1, 20)] * rng.choice((1, 3, 500))
            case _:
                pieces[at] = rng.choice((*LITERALS, *NAMES, "{{", "}}", "{%", "%}", "\0", "\ud800"))
        pieces = pieces or [""]
    return "".join(pieces)


def source(rng: random.Random, known: list[str]) -> str:
    """Return a template to try."""
    if rng.random() < 0.4:
        return spliced(rng, known)
    return "".join(statement(rng, rng.randrange(3)) for _ in range(rng.choice((1, 1, 2, 4))))
