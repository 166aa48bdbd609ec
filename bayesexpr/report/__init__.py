"""The HTML report of a run."""

from bayesexpr.report.content import ContrastContent, ReportContent, top_genes
from bayesexpr.report.html import render, write_report

__all__ = ["ContrastContent", "ReportContent", "render", "top_genes", "write_report"]
