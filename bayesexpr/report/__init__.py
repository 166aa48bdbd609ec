"""Reports: what they are made of, their figures, their pages, and the notebooks that show them."""

from bayesexpr.report.content import ContrastContent, ReportContent, top_genes
from bayesexpr.report.page import Report, Section
from bayesexpr.report.posterior import posterior_report
from bayesexpr.report.program import ProgramContent, program_report

__all__ = [
    "ContrastContent",
    "ProgramContent",
    "Report",
    "ReportContent",
    "Section",
    "posterior_report",
    "program_report",
    "top_genes",
]
