/* dirichlet_multinomial: expression of all genes of one sample as proportions of its fragments

   count ~ Multinomial(sum(count), theta)
   theta ~ Dirichlet(concentration)             proportions of all fragments; they sum to one

   Conjugate: theta | count ~ Dirichlet(concentration + count).
   Reference: Jimenez-Jimenez, Marti-Gomez et al. (2021), doi:10.36255/exonpublications.bioinformatics.2021.ch5. */
data {
  int<lower=2> G; // genes
  array[G] int<lower=0> count; // fragments of each gene
  vector<lower=0>[G] concentration; // prior: one value a gene; their sum is worth that many fragments
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  simplex[G] theta; // proportion of each gene
}
model {
  theta ~ dirichlet(concentration);
  if (!prior_only) count ~ multinomial(theta);
}
