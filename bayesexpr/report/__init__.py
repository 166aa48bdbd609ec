"""Reports: what they are made of, their figures, their pages, and the notebooks that show them."""

from bayesexpr.report.content import ContrastContent, ReportContent, top_genes
from bayesexpr.report.page import Report, Section
from bayesexpr.report.posterior import posterior_report

__all__ = ["ContrastContent", "Report", "ReportContent", "Section", "posterior_report", "top_genes"]
