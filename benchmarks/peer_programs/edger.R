# edgeR's quasi-likelihood pipeline as its guide says: Rscript edger.R counts.csv.gz samples.csv answer.csv
suppressPackageStartupMessages(library(edgeR))
files <- commandArgs(trailingOnly = TRUE)
counts <- as.matrix(read.csv(files[1], row.names = 1))
samples <- read.csv(files[2], row.names = 1, stringsAsFactors = TRUE)
design <- model.matrix(~ batch + group, samples)
y <- DGEList(counts)
y <- y[filterByExpr(y, design), , keep.lib.sizes = FALSE]
y <- calcNormFactors(y)
y <- estimateDisp(y, design, robust = TRUE)
test <- glmQLFTest(glmQLFit(y, design, robust = TRUE), coef = "groupb")
found <- topTags(test, n = Inf, sort.by = "none")$table
answer <- data.frame(gene = rownames(found), log2_fold_change = found$logFC, adjusted_p = found$FDR)
write.csv(answer, files[3], row.names = FALSE)
