from __future__ import annotations

import json

import pytest

from synapse_core.errors import FileError, UsageError
from synapse_core.generate import ChatTemplate
from synapse_core.generate.assets import REFUSED
from tests.generate.hostile_templates import GOOD, bombs

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


@pytest.mark.parametrize("name", GOOD)
def test_what_real_templates_use_is_there(name: str) -> None:
    assert template(GOOD[name]).render(MESSAGES)


@pytest.mark.parametrize(
    "name",
    ["time_round_precision", "growth_doubling", "growth_center", "reaching_cycler_globals"],
)
def test_a_hostile_template_is_refused_within_its_bounds(name: str) -> None:
    # All of them meet the command line in test_hostile_files.py.
    with pytest.raises(FileError, match="chat_template") as refused:
        template(bombs()[name]).render(MESSAGES)
    assert str(refused.value).isprintable()


def test_the_bounds_leave_room_for_what_was_said() -> None:
    long = "🚀" * 2_000_000
    text = template("{{ messages[0].content }}").render([{"role": "user", "content": long}])
    assert text == long


def test_a_long_conversation_is_rendered_in_time() -> None:
    said = [{"role": "user", "content": "hello " * 20}] * 3000
    assert template(CHATML).render(said).count("<|im_end|>") == 3000


def test_a_text_that_is_not_unicode_is_the_templates_fault_or_the_users() -> None:
    with pytest.raises(FileError, match="chat_template: writes a text that is not Unicode"):
        template("{{ '\\ud800' }}\ud800").render(MESSAGES)
    with pytest.raises(UsageError, match="not Unicode"):
        template(CHATML).render([{"role": "user", "content": "\udc80"}])


def test_json_is_written_with_the_options_of_transformers_and_no_others() -> None:
    assert template("{{ {'b': 1, 'a': 'é'}|tojson(sort_keys=true) }}").render(MESSAGES) == (
        '{"a": "é", "b": 1}'
    )
    with pytest.raises(FileError, match="'cls'"):
        template("{{ 1|tojson(cls=cycler) }}").render(MESSAGES)


def test_a_file_whose_tokenizer_was_refused_says_so_and_not_that_it_cannot_chat() -> None:
    with pytest.raises(FileError, match=r"m\.gguf: tokenizer\.ggml\.merges\[3\]: bad"):
        ChatTemplate.of({REFUSED: "tokenizer.ggml.merges[3]: bad"}, "m.gguf")


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
