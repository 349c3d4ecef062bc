"""Write every report of a run into its directory."""

import json

from session_harness.report.badge import badge
from session_harness.report.html import html_report
from session_harness.report.junit import junit_xml
from session_harness.report.markdown import markdown_summary
from session_harness.report.results import RunResults
from session_harness.runs import RunDirectory, write_whole


def write_reports(directory: RunDirectory, run: RunResults) -> None:
    """Write junit.xml, report.html, summary.md and badge.json."""
    write_whole(directory.junit, junit_xml(run))
    write_whole(directory.html, html_report(run))
    write_whole(directory.markdown, markdown_summary(run))
    write_whole(directory.badge, json.dumps(badge(run), ensure_ascii=False, indent=1) + "\n")
