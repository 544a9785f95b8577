"""Chat templates that would burn time or memory, reach Python, or never end.

Each of `BOMBS` must be refused; most do it in one call in C that no counter of steps would see.
"""

from __future__ import annotations

LONG = "{% set s = 'a'*1048576 %}"

# Texts and lists that grow in one step.
GROWTH = {
    "multiply": "{{ 'a' * 10**10 }}",
    "multiply_left": "{{ 10**10 * 'a' }}",
    "multiply_list": "{{ [1] * 10**10 }}",
    "multiply_step_by_step": "{{ 'a' * 1000000 * 1000000 }}",
    "center": "{{ 'a'|center(10**10) }}",
    "center_method": "{{ 'a'.center(10**10) }}",
    "ljust": "{{ 'a'.ljust(10**10) }}",
    "rjust": "{{ 'a'.rjust(10**9) ~ 'a'.rjust(10**9) }}",
    "zfill": "{{ '1'.zfill(10**10) }}",
    "expandtabs": "{{ '\t'.expandtabs(2**31 - 1) }}",
    "percent_width": "{{ '%1000000000d' % 1 }}",
    "percent_star": "{{ '%*d' % (1000000000, 1) }}",
    "percent_precision": "{{ '%.1000000000f' % 1 }}",
    "format_filter": "{{ '%1000000000d'|format(1) }}",
    "format_width": "{{ '{:1000000000}'.format(1) }}",
    "format_nested_width": "{{ '{:{}}'.format(1, 1000000000) }}",
    "format_map": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "format_precision": "{{ '{:.1000000000f}'.format(1.5) }}",
    "indent_width": "{{ 'a\nb'|indent(10**10) }}",
    "indent_first": "{{ 'a\nb'|indent(10**9, true) }}",
    "batch_fill": "{{ [1]|batch(10**10, 'x')|list }}",
    "slice_fill": "{{ [1]|slice(10**10, 'x')|list }}",
    "tojson_indent": "{{ [1]|tojson(indent=10**10) }}",
    "replace_empty": LONG + "{{ s|replace('', s) }}",
    "replace_method": LONG + "{{ s.replace('a', s) }}",
    "join_filter": LONG + "{{ s|join(s) }}",
    "join_method": LONG + "{{ s.join(s) }}",
    "escape_grows": "{{ ('<'*1048576)|replace('<', '<'*1024)|forceescape }}",
    "urlencode_grows": "{{ ('é'*1048576)|replace('é', 'é'*200)|urlencode }}",
    "map_center": "{{ range(9999)|map('center', 10**6)|list }}",
    "range_list": "{{ range(10**9)|list }}",
    "range_product": "{% set r = range(99999)|list %}{{ (r + r + r + r) * 9999 }}",
    "title_of_long": "{% set s = 'ab '*340000 %}{% for i in [1,1] %}{{ s|title }}{% endfor %}",
    "doubling": "{% set n = namespace(t='a'*1024) %}"
    "{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
    "doubling_plus": "{% set n = namespace(t='a'*1024) %}"
    "{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
    "doubling_wide": "{% set n = namespace(t='🚀'*1024) %}"
    "{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
    "doubling_list": "{% set n = namespace(t=[1]) %}"
    "{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
    "doubling_format": "{% set n = namespace(t='a'*1024) %}"
    "{% for i in range(60) %}{% set n.t = '{0}{0}'.format(n.t) %}{% endfor %}",
    "many_attributes": "{% set n = namespace() %}{% for i in range(99999) %}"
    "{% set n.a = [n.a, 'a'*1000000] %}{% endfor %}",
    "output": "{% for a in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "output_wide": "{% for a in range(99999) %}{{ '🚀' * 1000 }}{% endfor %}",
    "output_at_once": "{{ ('🚀' * 1048576) ~ ('🚀' * 1048576) }}",
    "shared_repr": "{% set n = namespace(t=[1]) %}"
    "{% for i in range(40) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}",
    "shared_json": "{% set n = namespace(t=[1]) %}"
    "{% for i in range(40) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t|tojson }}",
    "shared_pprint": "{% set n = namespace(t=[1]) %}"
    "{% for i in range(40) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t|pprint }}",
    "shared_compare": "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(40) %}"
    "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}{{ boom() }}",
}

# Time that one call or many take.
TIME = {
    "power": "{{ 9**(9**9) }}",
    "power_of_power": "{{ 10**10**8 }}",
    "power_tower": "{{ ((4096**4096)**4096)**4096 }}",
    "squares": "{% set n = namespace(t=10**99) %}"
    "{% for i in range(40) %}{% set n.t = n.t * n.t %}{% endfor %}{{ n.t % 7 }}",
    "round_precision": "{{ 10|round(10**9, 'ceil') }}",
    "round_floor": "{{ 1.5|round(10**8, 'floor') }}",
    "int_base": "{{ ('9'*1000000)|int(base=36) }}{{ boom() }}",
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops_filter": "{% for a in range(99999) if a in range(99999)|list %}{% endfor %}",
    "loop_recursive": "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "macro_recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macro_fan": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "macro_mutual": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}"
    "{{ f() }}",
    "caller_recursion": "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}"
    "{{ f() }}",
    "block_recursion": "{% block a %}{{ self.a() }}{% endblock %}",
    "urlize": "{{ ('http://a.b/' * 90000)|urlize }}{{ ('(<' * 500000)|urlize }}{{ boom() }}",
    "striptags": "{{ ('<!--' * 250000)|striptags }}{{ boom() }}",
    "striptags_open": "{{ ('<' * 1000000)|striptags }}{{ boom() }}",
    "wordwrap": "{{ ('a ' * 500000)|wordwrap(1) }}{{ ('a' * 1000000)|wordwrap(1) }}{{ boom() }}",
    "truncate": "{{ ('a ' * 500000)|truncate(999999) }}{{ boom() }}",
    "wordcount": "{% for i in range(9999) %}{{ ('a ' * 500000)|wordcount }}{% endfor %}",
    "count_inside": LONG + "{{ (s ~ 'b' ~ s).count('a'*500000 ~ 'b' ~ 'a'*500000) }}"
    "{% for i in range(9999) %}{{ s.find('a'*500000 ~ 'b') }}{% endfor %}",
    "sort": "{% for i in range(999) %}{{ range(99999)|list|sort(reverse=1)|first }}{% endfor %}",
    "sort_many": "{{ (range(99999)|list * 10)|map('string')|sort|sort|sort|sort }}{{ boom() }}",
    "groupby": "{{ range(99999)|map('string')|groupby('real')|list }}{{ boom() }}",
    "unique": "{{ (range(99999)|map('string')|list * 10)|unique|list|length }}{{ boom() }}",
    "sum_lists": "{{ ([[1]] * 99999)|sum(start=[]) }}{{ boom() }}",
    "cycler": "{% set c = cycler(1) %}{% for i in range(99999) %}{% for j in range(9999) %}"
    "{% set _ = c.next() %}{% endfor %}{% endfor %}",
    "contains": "{% for i in range(99999) %}{{ i in range(99999)|list }}{% endfor %}",
    "strftime": "{{ strftime_now('%999999999d' * 1000) }}{{ boom() }}",
    "strftime_many": "{{ strftime_now('%c' * 400000) }}{{ boom() }}",
    "lipsum": "{{ lipsum(n=1000000) }}",
}

# Sources whose reading is the attack.
READING = {
    "parentheses": "{{ " + "(" * 20000 + ")" * 20000 + " }}",
    "brackets": "{{ " + "[" * 20000 + "]" * 20000 + " }}",
    "not_not": "{{ " + "not " * 20000 + "1 }}",
    "minus": "{{ " + "-" * 50000 + "1 }}",
    "plus_chain": "{{ 1" + "+1" * 50000 + " }}",
    "tilde_chain": "{{ 1" + "~1" * 50000 + "}}{{ boom() }}",
    "filter_chain": "{{ 1" + "|abs" * 20000 + " }}",
    "attribute_chain": "{{ messages" + ".a" * 50000 + " }}",
    "if_nest": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "for_nest": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "macro_nest": "{% macro a() %}" * 300 + "{% endmacro %}" * 300,
    "many_statements": "{% set a = 1 %}" * 17000 + "{{ boom() }}",
    "many_outputs": "{{a}}" * 50000 + "{{ boom() }}",
    "many_literals": "{{ [" + "1," * 120_000 + "] }}{{ boom() }}",
    "elif_chain": "{% if 0 %}" + "{% elif 0 %}" * 20000 + "{% endif %}",
    "fold_multiply": "{{ ['a' * 1000000] * 1000000 }}",
    "fold_filter": "{{ 'a'|center(999999999)|center(9999999999) }}",
    "number_long": "{{ " + "9" * 200_000 + " }}",
    "number_exponent": "{{ 1e999999999 * 10**4000 }}{{ boom() }}",
    "open_statement": "{% if",
    "open_comment": "{# " + "x" * 200_000,
    "open_raw": "{% raw %}" * 20000,
    "open_string": "{{ '" + "\\" * 200_000,
    "blanks": "{{" + " " * 250_000,
    "blanks_before_statements": (" " * 100 + "{%- set a = 1 -%}") * 2000 + "{{ boom() }}",
    "surrogate": "{{ boom('\\ud800') }}",
    "unknown_tag": "{% nothing %}",
    "unknown_filter": "{{ 1|nothing }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import '/etc/passwd' as x %}",
    "extends": "{% extends '/etc/passwd' %}",
    "from_import": "{% from 'os' import system %}",
    "undefined": "{{ nothing.here.at.all }}",
    "own_refusal": "{{ raise_exception('no\\r\\n\\x1b[2J\\u2028 end') }}",
}

# Ways to Python's own objects; where one worked it would make the file that {canary} names.
REACHING = {
    "lipsum_globals": "{{ lipsum.__globals__['os'].popen('touch {canary}').read() }}",
    "cycler_globals": "{{ cycler.__init__.__globals__.os.system('touch {canary}') }}",
    "joiner_globals": "{{ joiner.__init__.__globals__.os.system('touch {canary}') }}",
    "namespace_globals": "{{ namespace.__init__.__globals__.os.system('touch {canary}') }}",
    "self_globals": "{{ self.__init__.__globals__.__builtins__.open('{canary}', 'w') }}",
    "self_template": "{{ self._TemplateReference__context.environment.from_string('x') }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "dict_class": "{{ dict.__base__.__subclasses__() }}",
    "attr_filter": "{{ (''|attr('__class__')).__mro__[1].__subclasses__() }}",
    "attr_joined": "{{ (''|attr('__cl' ~ 'ass__'))|attr('__mro__') }}{{ boom() }}",
    "map_attribute": "{{ [cycler]|map(attribute='__init__.__globals__')|list|first()|items }}",
    "sort_attribute": "{{ ['']|sort(attribute='__class__.__mro__')|first()|nothing }}",
    "groupby_attribute": "{{ ['']|groupby('__class__')|first()|first()|attr('mro') }}{{ boom() }}",
    "item_access": "{{ ''['__class__']['__mro__'] }}{{ boom() }}",
    "format_attribute": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}{{ boom() }}",
    "format_by_attr": "{{ ('{0.__class__.__mro__}'|attr('format'))(messages) }}",
    "format_map_attr": "{{ ('{a.__class__}'|attr('format_map'))({'a': 1}) }}{{ boom() }}",
    "format_by_map": "{{ ['{0.__class__.__mro__}']|map('attr', 'format')|first()(1) }}",
    "macro_code": "{% macro f() %}{% endmacro %}{{ f.__call__.__func__.__globals__.sys }}",
    "macro_func": "{% macro f() %}{% endmacro %}{{ f._func.__globals__ }}",
    "caller_frame": "{{ (messages|map('nothing')).gi_frame.f_globals }}",
    "generator_frame": "{{ ([1]|map('abs')).gi_frame.f_globals['os'].system('touch {canary}') }}",
    "function_code": "{{ raise_exception.__globals__['os'].system('touch {canary}') }}",
    "function_code_2": "{{ strftime_now.__code__.co_consts }}{{ boom() }}",
    "function_closure": "{{ raise_exception.__closure__[0].cell_contents }}",
    "json_class": "{{ 1|tojson(cls=cycler) }}",
    "json_default": "{{ cycler|tojson(default=cycler) }}",
    "json_hook": "{{ {1: 2}|tojson(object_hook=cycler) }}",
    "mutate_messages": "{{ messages.append(1) }}",
    "mutate_message": "{{ messages[0].update({'role': 'x'}) }}",
    "mutate_pop": "{{ messages.pop() }}",
    "mutate_by_attr": "{{ (messages|attr('clear'))() }}",
    "mutate_sort": "{{ messages.sort() }}",
    "setattr_namespace": "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ boom() }}",
    "undefined_class": "{{ nothing.__class__.__init__.__globals__ }}",
    "undefined_logger": "{{ x.__init__.__globals__.sys.modules.os.system('touch {canary}') }}",
    "loop_globals": "{% for a in [1] %}{{ loop.__init__.__globals__.os }}{{ boom() }}{% endfor %}",
    "context_environment": "{{ get_flashed_messages.__globals__.os.popen('touch {canary}') }}",
}

# How real templates are written; all of these must be rendered.
GOOD = {
    "plain": "{% for m in messages %}{{ m.content }}{% endfor %}",
    "chatml": "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n'"
    " + message.content + '<|im_end|>\\n' }}{%- endfor %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}",
    "slices": "{{ messages[::-1][:1][0]['content']|trim }}{{ messages[-1].content.split('x')[0] }}",
    "macro": "{% macro say(m) %}{{ m.role ~ ': ' ~ m.content }}{% endmacro %}"
    "{% for m in messages %}{{ say(m) }}{% endfor %}",
    "tojson": "{{ messages|tojson(indent=4) }}{{ messages|tojson(separators=(',', ':')) }}",
    "dates": "{{ strftime_now('%d %b %Y') }}",
    "filters": "{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list"
    "|join('\\n')|replace('a', 'bb')|title|indent(4) }}",
    "ruler": "{{ '=' * 80 }}{{ 'a'|center(20) }}{{ '%5d' % 3 }}{{ 2 ** 10 }}",
}


def bombs() -> dict[str, str]:
    """Return all that must be refused, by name; `{canary}` is still to be filled in."""
    groups = {"growth": GROWTH, "time": TIME, "reading": READING, "reaching": REACHING}
    return {f"{group}_{name}": text for group, of in groups.items() for name, text in of.items()}
