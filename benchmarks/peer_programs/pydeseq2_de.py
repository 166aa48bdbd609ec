"""PyDESeq2 as its guide says: ``python pydeseq2_de.py counts.csv.gz samples.csv answer.csv``; one process."""

from __future__ import annotations

import sys
import warnings

import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats

warnings.filterwarnings("ignore")


def main(counts: str, samples: str, answer: str) -> None:
    table = pd.read_csv(counts, index_col=0).T
    metadata = pd.read_csv(samples, index_col=0)
    inference = DefaultInference(n_cpus=1)
    dds = DeseqDataSet(
        counts=table.loc[:, table.sum() > 0],
        metadata=metadata,
        design="~ batch + group",
        inference=inference,
        quiet=True,
    )
    dds.deseq2()
    stats = DeseqStats(dds, contrast=["group", "b", "a"], alpha=0.05, inference=inference, quiet=True)
    stats.summary()
    found = stats.results_df
    out = pd.DataFrame({"log2_fold_change": found["log2FoldChange"], "adjusted_p": found["padj"]})
    out.to_csv(answer, index_label="gene")


if __name__ == "__main__":
    main(*sys.argv[1:4])
