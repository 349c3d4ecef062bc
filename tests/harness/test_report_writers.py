import html.parser
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import junitparser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.verdicts import CheckRecord, RunEnd, Verdict
from session_harness.report.badge import badge
from session_harness.report.html import html_report, safe_link
from session_harness.report.junit import junit_xml
from session_harness.report.markdown import escape, markdown_summary
from session_harness.report.results import PROBLEMS, RunResults, TesteeInfo
from session_harness.report.text import one_line, shortened, visible
from session_harness.report.writers import write_reports
from session_harness.runs import RunDirectory

Make = Callable[..., RunResults]

MARKUP = [
    "<script>alert(1)</script>", "]]>", "&amp;", "```\n# x", "| a |", "[x](javascript:1)", "\x1b[2J",
    "{{ 7*7 }}", "\u202e", "\ud800", "\x00", "\ufffe", "'\" onmouseover=1", "</pre>", "@everyone", "${x}",
]  # fmt: skip
odd_text = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(codec=None), max_size=40),
    st.lists(st.sampled_from(MARKUP), max_size=4).map("".join),
)


@st.composite
def odd_records(draw: st.DrawFn) -> CheckRecord:
    return CheckRecord(
        check="suite." + draw(odd_text),
        testee=draw(odd_text),
        verdict=draw(st.sampled_from(Verdict)),
        suite=draw(st.just("suite") | odd_text),
        sentence=draw(odd_text),
        requirements=tuple(draw(st.lists(odd_text, max_size=2))),
        message=draw(odd_text),
        peer=draw(odd_text),
        expectation=draw(odd_text),
        link=draw(odd_text | st.just("https://example.org/?a=1&b=<2>")),
        case=draw(odd_text),
        replay=draw(odd_text),
        seconds=draw(st.floats(0, 100)),
    )


def run_of(records: list[CheckRecord]) -> RunResults:
    names = dict.fromkeys(record.testee for record in records)
    return RunResults(
        run="r<u>n",
        seed="se\x07ed",
        end=RunEnd.COMPLETE,
        testees=tuple(map(TesteeInfo, names)),
        records=tuple(records),
    )


odd_runs = st.lists(odd_records(), max_size=5).map(run_of)


TAGS_OF_THE_TEMPLATE = frozenset({
    "html", "head", "meta", "title", "style", "body", "script", "header", "section", "article", "h1", "h2",
    "h3", "p", "span", "div", "i", "a", "ul", "li", "br", "code", "pre", "input", "label", "details",
    "summary", "table", "thead", "tbody", "tr", "th", "td",
})  # fmt: skip


class Page(html.parser.HTMLParser):
    """Collect what a browser would make of a page."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def values(self, tag: str, name: str) -> list[str | None]:
        return [value for found, attribute, value in self.attributes if (found, attribute) == (tag, name)]


# The text that a testee had a hand in.


@given(odd_text)
def test_visible_text_has_nothing_that_acts(text: str) -> None:
    shown = visible(text)
    assert all(character.isprintable() or character in "\n\t" or character == "\u3000" or character.isspace()
               for character in shown)  # fmt: skip
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]", shown
    )
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=50))
def test_visible_leaves_readable_text_alone(text: str) -> None:
    assert visible(text) == text


def test_escapes_say_which_character_it_was() -> None:
    assert visible("a\x1bb\u202ec\U000e0001d\r\ne\tf") == "a\\x1bb\\u202ec\\U000e0001d\ne\tf"


@given(odd_text, st.integers(2, 30))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert "\n" not in shown
    assert len(shown) <= limit


def test_shortening_keeps_both_ends_and_says_what_is_missing() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 10 + "b" * 10, 4) == "aa\n… 16 characters left out …\nbb"


# JUnit.


def test_each_verdict_becomes_the_element_that_ci_systems_understand(
    sample: RunResults, tmp_path: Path
) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(junit_xml(sample), "utf-8")
    parsed = junitparser.JUnitXml.fromfile(str(path))
    found: dict[tuple[str, str], list[tuple[str, str | None]]] = {}
    for suite in parsed:
        for case in suite:
            results = [(type(result).__name__, result.type) for result in case.result]
            found[case.classname, case.name] = results
    assert found == {
        ("reference.sealing", "opens_what_was_sealed"): [],
        ("session_python.sealing", "opens_what_was_sealed"): [],
        ("reference.sealing", "refuses_a_flipped_bit"): [],
        ("session_python.sealing", "refuses_a_flipped_bit"): [("Failure", "failed")],
        ("reference.padding", "pads"): [],
        ("session_python.padding", "pads"): [("Skipped", "expected_failure")],
        ("reference.padding", "unpads"): [("Failure", "flaky")],
        ("session_python.padding", "unpads"): [("Failure", "stale")],
        ("reference.onion", "peels"): [("Error", "errored")],
        ("session_python.onion", "peels"): [("Skipped", "unsupported")],
        ("reference.messaging", "delivers (peer reference)"): [("Skipped", "not_run")],
        ("session_python.messaging", "delivers (peer reference)"): [("Skipped", "not_run")],
    }
    assert (parsed.tests, parsed.failures, parsed.errors, parsed.skipped) == (12, 3, 1, 4)


def test_junit_numbers_of_the_suites_add_up(sample: RunResults) -> None:
    root = ET.fromstring(junit_xml(sample))  # noqa: S314 - our own text
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)
    assert {suite.attrib["timestamp"] for suite in root} == {"2026-11-23T06:15:28"}


def test_junit_says_how_to_repeat_and_which_requirement(sample: RunResults) -> None:
    root = ET.fromstring(junit_xml(sample))  # noqa: S314 - our own text
    case = root.find("./testsuite[@name='session_python.sealing']/testcase[@name='refuses_a_flipped_bit']")
    assert case is not None
    properties = {entry.attrib["name"]: entry.attrib["value"] for entry in case.iter("property")}
    assert properties["replay"].startswith("session-harness replay ")
    assert properties["requirements"] == "SEAL-02 SEAL-03"
    assert properties["verdict"] == "failed"
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "session.decrypt accepted input that it must refuse …"
    assert "ciphertext = '00ff'" in (failure.text or "")
    passed = root.find("./testsuite[@name='reference.sealing']/testcase[@name='refuses_a_flipped_bit']")
    assert passed is not None
    assert "replay" not in {entry.attrib["name"] for entry in passed.iter("property")}


def test_a_warned_check_passes_in_junit_and_keeps_its_message(sample: RunResults) -> None:
    root = ET.fromstring(junit_xml(sample))  # noqa: S314 - our own text
    case = root.find("./testsuite[@name='reference.padding']/testcase[@name='pads']")
    assert case is not None
    assert case.findtext("system-out") == "warning: the padding is odd"


@given(odd_runs)
def test_junit_is_well_formed_whatever_stands_in_it(run: RunResults) -> None:
    root = ET.fromstring(junit_xml(run).encode())  # noqa: S314 - our own text
    assert len(list(root.iter("testcase"))) == len(run.records)


# HTML.


def test_the_page_shows_every_check_and_testee(sample: RunResults) -> None:
    page = Page(html_report(sample))
    for testee in sample.testees:
        assert testee.title in page.text
    for record in sample.records:
        assert record.check.partition(".")[2] in page.text
        if record.verdict in PROBLEMS:
            assert record.message in page.text
            assert sample.replay_line(record) in page.text
    assert "pads as older clients do" in page.text
    assert page.values("a", "href").count("https://example.org/1") == 1
    assert not page.open


def test_each_link_of_the_page_leads_to_a_place_on_it(sample: RunResults) -> None:
    page = Page(html_report(sample))
    targets = [target[1:] for target in page.values("a", "href") if target and target.startswith("#")]
    places = [value for _tag, name, value in page.attributes if name == "id"]
    assert len(targets) == len(sample.problems)
    assert set(targets) <= set(places)
    assert len(places) == len(set(places))


def test_suites_with_problems_are_open_and_the_others_are_not(make_results: Make) -> None:
    good = CheckRecord("a.x", "t", Verdict.PASSED, suite="a")
    bad = CheckRecord("b.y", "t", Verdict.FAILED, suite="b", message="no")
    text = html_report(make_results(good, bad))
    assert '<details class="suite">\n<summary><span>a</span>' in text
    assert '<details class="suite" open>\n<summary><span>b</span>' in text


def test_the_page_needs_nothing_from_elsewhere(sample: RunResults) -> None:
    text = html_report(sample)
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert page.values("script", "src") == []
    assert "@import" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_a_run_cut_short_says_so(make_results: Make) -> None:
    record = CheckRecord("a.x", "t", Verdict.PASSED, suite="a")
    assert "was cut short" in Page(html_report(make_results(record, end=None))).text
    assert "was cut short" not in Page(html_report(make_results(record))).text


@given(odd_runs)
def test_no_text_becomes_markup_on_the_page(run: RunResults) -> None:
    page = Page(html_report(run))
    assert set(page.tags) <= TAGS_OF_THE_TEMPLATE
    assert page.tags.count("script") == 1
    assert not [name for _tag, name, _value in page.attributes if name.startswith("on")]
    for target in page.values("a", "href"):
        assert target is not None
        assert target.startswith(("#", "http://", "https://"))
    assert not page.open


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", " https://x", "//x", "ftp://x", ""]
)
def test_only_web_addresses_become_links(link: str) -> None:
    assert safe_link(link) == ""
    assert safe_link("https://example.org/") == "https://example.org/"


# Markdown.


def test_the_summary_has_the_table_and_the_problems(sample: RunResults) -> None:
    text = markdown_summary(sample)
    assert "| suite | reference 1\\.0\\.5 | session\\_python 1\\.0\\.5 |" in text
    assert "| sealing | ✅ 2 | ✅ 1 ❌ 1 |" in text
    assert text.count("<details>") == text.count("</details>") == len(sample.problems)
    assert f"session-harness replay runs/{sample.run}/sealing.refuses_a_flipped_bit--session_python" in text
    assert "1 checks of session\\_python were not run: the network did not start" in text


def test_a_fence_is_longer_than_any_in_the_text(make_results: Make) -> None:
    record = CheckRecord("a.x", "t", Verdict.FAILED, suite="a", message="before\n````\n# not a heading")
    text = markdown_summary(make_results(record))
    assert "`````text\nbefore\n````\n# not a heading\n`````\n" in text


@given(odd_text)
def test_escaped_markdown_stays_on_its_line_and_in_its_cell(text: str) -> None:
    shown = escape(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]@]", shown)
    assert "<" not in shown


@given(odd_runs)
def test_every_row_of_the_table_has_a_cell_for_each_testee(run: RunResults) -> None:
    lines = markdown_summary(run).splitlines()
    rows = [line for line in lines[: 5 + len(run.suites) + 3] if line.startswith("|")]
    assert len(rows) >= 3 or not run.testees
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == len(run.testees) + 2


def test_a_summary_stays_within_what_a_job_page_takes(make_results: Make) -> None:
    records = [
        CheckRecord(f"a.x{n}", "t", Verdict.FAILED, suite="a", message="m" * 50_000) for n in range(300)
    ]
    text = markdown_summary(make_results(*records))
    assert len(text.encode()) < 1_000_000
    assert "… and 250 more" in text


# Badge.


@pytest.mark.parametrize(
    ("verdicts", "message", "colour"),
    [
        ([Verdict.PASSED, Verdict.PASSED], "L1 · 2/2 passed", "brightgreen"),
        ([Verdict.PASSED, Verdict.WARNED], "L1 · 2/2 passed", "yellowgreen"),
        ([Verdict.PASSED, Verdict.EXPECTED_FAILURE], "1/2 passed", "yellowgreen"),
        ([Verdict.PASSED, Verdict.UNSUPPORTED], "1/1 passed", "brightgreen"),
        ([Verdict.PASSED, Verdict.FAILED], "1/2 passed", "red"),
        ([Verdict.PASSED, Verdict.STALE], "1/2 passed", "red"),
        ([Verdict.PASSED, Verdict.ERRORED], "1/2 passed", "orange"),
        ([Verdict.UNSUPPORTED], "nothing judged", "lightgrey"),
    ],
)
def test_the_badge_of_one_testee(
    make_results: Make, verdicts: list[Verdict], message: str, colour: str
) -> None:
    records = [CheckRecord(f"a.x{n}", "t", verdict, tier="L1") for n, verdict in enumerate(verdicts)]
    assert badge(make_results(*records)) == {
        "schemaVersion": 1,
        "label": "Session conformance: t",
        "message": message,
        "color": colour,
    }


def test_the_badge_of_several_testees_names_each(sample: RunResults) -> None:
    found = badge(sample)
    assert found["label"] == "Session conformance"
    assert found["message"] == "reference 3/6 passed, session_python 1/5 passed"


@given(odd_runs)
def test_a_badge_is_what_shields_reads(run: RunResults) -> None:
    found = json.loads(json.dumps(badge(run)))
    assert found["schemaVersion"] == 1
    assert found["message"]
    assert all(isinstance(found[key], str) for key in ("label", "message", "color"))


# All of them.


@given(run=odd_runs)
def test_all_files_are_written_whatever_stands_in_them(
    tmp_path_factory: pytest.TempPathFactory, run: RunResults
) -> None:
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    write_reports(directory, run)
    names = {entry.name for entry in directory.path.iterdir()}
    assert names == {"junit.xml", "report.html", "summary.md", "badge.json"}
    for entry in directory.path.iterdir():
        entry.read_bytes().decode()
