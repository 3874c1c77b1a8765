"""Chat templates: the sandbox holds, files are found in their order, and bad messages are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fef
from fef.models.chat import ChatTemplate

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
