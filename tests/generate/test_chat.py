from __future__ import annotations

import json
import time

import pytest

from synapse_core.errors import FileError, UsageError
from synapse_core.generate import ChatTemplate

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b>"},
]
CHATML = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def template(source: str, **config: object) -> ChatTemplate:
    return ChatTemplate.of(
        {"tokenizer_config.json": json.dumps({"chat_template": source} | config)}
    )


def test_a_conversation_is_written_down_as_the_template_says() -> None:
    assert template(CHATML).render(MESSAGES) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <b><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_special_tokens_filters_and_loop_controls_are_there() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{{ m | tojson }}{% generation %}!{% endgeneration %}{% endfor %}{{ eos_token }}"
    )
    chat = template(source, bos_token="<s>", eos_token={"content": "</s>", "lstrip": False})
    assert chat.render([{"role": "user", "content": "<é>"}]) == (
        '<s>{"role": "user", "content": "<é>"}!</s>'
    )


def test_the_template_file_goes_before_the_config() -> None:
    files = {"chat_template.jinja": "file", "tokenizer_config.json": '{"chat_template": "config"}'}
    assert ChatTemplate.of(files).render(MESSAGES) == "file"


def test_of_named_templates_the_default_is_taken() -> None:
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    chat = ChatTemplate.of({"tokenizer_config.json": json.dumps({"chat_template": named})})
    assert chat.render(MESSAGES) == "yes"


def test_without_a_template_nothing_is_guessed() -> None:
    with pytest.raises(UsageError, match="no chat template"):
        ChatTemplate.of({"tokenizer_config.json": "{}"})


def test_the_templates_own_refusal_is_shown() -> None:
    source = "\n{{ raise_exception('roles must alternate') }}"
    with pytest.raises(FileError, match="line 2: TemplateError: roles must alternate"):
        template(source).render(MESSAGES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ lipsum.__globals__['os'].popen('echo broken').read() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ ('{0.__class__.__init__.__globals__}'|attr('format'))(messages) }}",
        "{% include '/etc/passwd' %}",
        "{{ 9**(9**9) }}",
        "{{ 'a' * 10**10 }}",
        "{{ 'a'|center(10**10) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(t='aaaaaaaaaaaaaaaa') %}"
        "{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
        " ~ messages ~ messages ~ messages }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ " + "(" * 20000 + ")" * 20000 + " }}",
        "{% if",
        "{{ nothing.here.at.all }}",
    ],
)
def test_a_hostile_template_is_refused_within_its_bounds(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(FileError, match="chat_template"):
        template(source).render(MESSAGES)
    assert time.process_time() - begun < 5


def test_a_template_beyond_all_size_is_refused_unread() -> None:
    with pytest.raises(FileError, match="at most"):
        template("x" * 300_000)


@pytest.mark.parametrize(
    "messages",
    [[], [{"role": "root", "content": "x"}], [{"role": "user"}], [{"role": "user", "content": 1}]],
)
def test_messages_need_a_known_role_and_a_text(messages: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError):
        template(CHATML).render(messages)
