"""Chat templates: the sandbox holds, files are found in their order, and bad messages are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import fef
from fef.models.chat import ChatTemplate
from fef.models.template_sandbox import BUDGET

LLADA = Path(__file__).parents[1] / "golden" / "data" / "llada" / "checkpoint"
HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ raise_exception('only one turn') }}",
        "{{ messages[7].content.strip() }}",
    ],
)
def test_templates_run_in_a_sandbox(source):
    with pytest.raises(fef.InputError, match="refuses these messages"):
        ChatTemplate(source, {}).render(HI)


def test_a_template_sees_messages_tokens_and_settings():
    template = ChatTemplate(
        "{{ bos_token }}{% for m in messages %}{{ m.content }}|{% endfor %}{{ mode | tojson }}", {"bos_token": "<s>"}
    )
    assert template.render(HI * 2, mode="é<") == '<s>Hi|Hi|"é<"'


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% if tools is not none %}tools{% endif %}{% if documents is not none %}documents{% endif %}x", "x"),
        ("{% if tools is defined and tools %}tools{% endif %}{% for d in documents or [] %}d{% endfor %}x", "x"),
        ("{{ mode | tojson(ensure_ascii=False) }}", '{"b": "é", "a": 1}'),
        ("{{ mode | tojson(ensure_ascii=True) }}", '{"b": "\\u00e9", "a": 1}'),
        ("{{ mode | tojson(separators=(',', ':'), sort_keys=True) }}", '{"a":1,"b":"é"}'),
        ("{{ mode | tojson(False, 1) }}", '{\n "b": "é",\n "a": 1\n}'),
    ],
)
def test_what_templates_expect_of_transformers_is_there(source, text):
    """It gives no tools and no documents as none, and `tojson` has the arguments of json.dumps."""
    assert ChatTemplate(source, {}).render(HI, mode={"b": "é", "a": 1}) == text


def test_a_broken_template_is_refused():
    with pytest.raises(fef.CheckpointError, match="template of the checkpoint is broken"):
        ChatTemplate("{% if %}", {})


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user"}], [{"content": "x"}], [{"role": "user", "content": None}], ["Hi"]], ids=str
)
def test_malformed_messages_are_refused(messages):
    with pytest.raises(fef.InputError, match="role"):
        ChatTemplate("x", {}).render(messages)


def test_files_of_a_template(tmp_path: Path):
    assert ChatTemplate.load(tmp_path) is None
    named = [{"name": "tools", "template": "a"}, {"name": "default", "template": "b{{ eos_token }}"}]
    settings = {"chat_template": named, "eos_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    template = ChatTemplate.load(tmp_path)
    assert template is not None
    assert template.render(HI) == "b</s>"
    (tmp_path / "chat_template.jinja").write_text("c")
    template = ChatTemplate.load(tmp_path)
    assert template is not None
    assert template.render(HI) == "c"


@pytest.mark.parametrize(
    "source",
    [
        "a{% generation %}b{{ messages[0].content }}{% endgeneration %}c",
        "{% for m in messages %}a{%- generation -%} b{{ m.content }} {%- endgeneration %}c{% endfor %}",
        "{% if true %}a{% generation %}{% for m in messages %}b{{ m['content'] }}{% endfor %}{% endgeneration %}c{% endif %}",
    ],
)
def test_a_part_to_train_on_renders_its_body(source):
    assert ChatTemplate(source, {}).render(HI) == "abHic"


BROKEN = {
    "an open block": "{% if %}",
    "an unknown tag": "{% cache %}x{% endcache %}",
    "an unknown filter": "{{ messages | nosuch }}",
    "an open part to train on": "{% generation %}x",
    "deep nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "no text": 3,
}


@pytest.mark.parametrize("kind", [*BROKEN, "not UTF-8"])
def test_a_broken_template_stops_conversations_and_nothing_else(tmp_path, kind):
    path = tmp_path / "model"
    shutil.copytree(LLADA, path)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    settings["chat_template"] = BROKEN.get(kind)
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    if kind == "not UTF-8":
        (path / "chat_template.jinja").write_bytes(b"\xff")
    model = fef.load(str(path), device="cpu", dtype=torch.float32)
    whole = fef.load(str(LLADA), device="cpu", dtype=torch.float32)
    assert model.generate("Hi", max_new_tokens=4).token_ids == whole.generate("Hi", max_new_tokens=4).token_ids
    with pytest.raises(fef.CheckpointError, match=r"template of the checkpoint is broken: .*Plain text prompts work"):
        model.generate(HI, max_new_tokens=4)


NAMESPACE = "{% set ns = namespace(a='ab') %}{% for i in range(60) %}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'a' * 10**10 }}",
        "{{ 10**10 * 'a' }}",
        "{{ 'a' | center(10**10) }}",
        "{{ 'a'.ljust(10**10) }}",
        "{{ '%10000000000d' % 3 }}",
        "{{ '%*d' % (10**10, 3) }}",
        "{{ '%10000000000d' | format(3) }}",
        "{{ '{:10000000000}'.format(3) }}",
        "{{ '{:{w}}'.format(3, w=10**10) }}",
        "{{ '\\t'.expandtabs(10**10) }}",
        "{{ 3 ** 10000000000 }}",
        "{{ range(99999) | join('a' * 99999) }}",
        "{{ ('a' * 99999).join(range(99999) | map('string')) }}",
        NAMESPACE + "{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
        NAMESPACE + "{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}",
        NAMESPACE + "{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}",
        NAMESPACE + "{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a | tojson }}",
        NAMESPACE + "{% set ns.a = ns.a.replace('a', 'aa') %}{% endfor %}{{ ns.a }}",
        NAMESPACE + "{% set ns.a %}{{ ns.a }}{{ ns.a }}{% endset %}{% endfor %}{{ ns.a }}",
        "{% for a in range(99999) %}" + "text " * 4000 + "{% endfor %}",
        "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
        "{% for a in range(99999) %}{% set x = range(99999) | list | sort %}{% endfor %}",
        "{% for a in range(99999) %}{% if 0.5 in range(99999) | list %}{% endif %}{% endfor %}",
        "{% for a in range(99999) %}{% set x = ('a ' * 50000) | wordwrap(1) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    ],
)
def test_templates_that_never_end_or_never_stop_writing_are_refused(source, monkeypatch):
    """Without a budget it would be years, or the memory's end; an eighth of it is spent as the whole is, and sooner."""
    monkeypatch.setattr("fef.models.template_sandbox.BUDGET", BUDGET // 8)
    with pytest.raises(fef.InputError, match="refuses these messages"):
        ChatTemplate(source, {}).render(HI)


def test_long_conversations_are_within_the_budget():
    turns = [{"role": "user", "content": f"{i} " * 200} for i in range(1000)]
    source = (
        "{% set ns = namespace(last=messages | length) %}{% for m in messages[::-1] %}"
        "{% if m.content.startswith('9') and not m.content.endswith('x') %}{% set ns.last = loop.index0 %}{% endif %}"
        "{% endfor %}{% for m in messages %}{% if loop.index0 < messages | length %}"
        "{{ '<' + m.role + '>' ~ m.content.split('y')[-1].strip() }}{% endif %}{% endfor %}"
    )
    assert ChatTemplate(source, {}).render(turns) == "".join(f"<user>{m['content'].strip()}" for m in turns)


def test_the_budget_is_that_of_one_rendering():
    template = ChatTemplate("{% for i in range(20000) %}{% for j in range(4) %}{% endfor %}{% endfor %}x", {})
    assert [template.render(HI) for _ in range(4)] == ["x"] * 4
