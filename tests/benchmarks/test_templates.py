"""Templates come from untrusted files: they see their row and nothing else."""

import pytest

from sftlab.benchmarks.templates import text_renderer
from sftlab.errors import BenchmarkError

ROW = {"q": "what?", "n": 3, "words": ["a", "b"], "nested": {"choices": ["x"]}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{q}}\n", "what?\n"),
        ("{{n + 1}}{{words|join('-')}}", "4a-b"),
        ("{{nested.choices[0]}}", "x"),
        ("{{q|regex_replace('[a-z]+', 'who')}}", "who?"),
        ("{% set p = 'P: ' %}{{p + q}}", "P: what?"),
        ("{{'=' * 20}}", "=" * 20),
    ],
)
def test_templates_render_as_jinja(template, text):
    assert text_renderer(template, field="doc_to_text")(ROW) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ q.__class__.__base__ }}",
        "{{ (q|attr('__class__')).__mro__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].system('id') }}",
        "{{ '{0.__class__.__mro__}'.format(q) }}",
        "{{ '{0.__init__.__globals__}'.format_map({'0': q}) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ range(10 ** 9)|list }}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ 10 ** 10 ** 8 }}",
        "{{ undefined_name }}",
        "{{ nested.missing }}",
        "{{ n / 0 }}",
    ],
)
def test_templates_reach_nothing_but_their_row(template):
    with pytest.raises(BenchmarkError, match="doc_to_text"):
        text_renderer(template, field="doc_to_text")(ROW)


def test_a_broken_template_is_refused_before_any_row():
    with pytest.raises(BenchmarkError, match="`doc_to_text` is no jinja template"):
        text_renderer("{{ q", field="doc_to_text")
