/* C interface of the numerical core: lays the data out for blocks of genes, and runs negative_binomial_de_block.hpp, where the
   equations are, over them. Compile for the processor at hand: see negative_binomial_de.hpp. */
#include "negative_binomial_de_core.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "negative_binomial_de_block.hpp"
#include "negative_binomial_de_moves.hpp"

namespace {

constexpr std::size_t kPartBlocks = BX_NBDE_PART / kLanes;
static_assert(kPartBlocks * kLanes == BX_NBDE_PART, "a part is made of whole blocks");

}  // namespace

extern "C" {

bx_nbde_data* bx_nbde_prepare(const bx_nbde_sizes* sizes, const int32_t* const* count, const double* log_length,
                              int64_t length_sample, int64_t length_gene, const double* const* component_design,
                              const double* nuisance_design) try {
  auto data = std::make_unique<bx_nbde_data>();
  bx_nbde_data& a = *data;
  a.G = sizes->genes, a.S = sizes->samples, a.K = sizes->tested, a.R = sizes->nuisance, a.C = sizes->components;
  a.E = sizes->deviates, a.P = 1 + a.E + a.K + a.R;
  a.blocks = (a.G + kLanes - 1) / kLanes;

  std::map<std::vector<double>, std::size_t> known;
  a.pair_of.resize(a.C * a.S);
  a.pair_start.push_back(0);
  for (std::size_t s = 0; s < a.S; ++s) {
    for (std::size_t c = 0; c < a.C; ++c) {
      std::vector<double> row(a.K + a.R);
      for (std::size_t k = 0; k < a.K; ++k) row[k] = component_design[c][k * a.S + s];
      for (std::size_t k = 0; k < a.R; ++k) row[a.K + k] = nuisance_design[k * a.S + s];
      const auto found = known.emplace(row, known.size());
      if (found.second) a.row.insert(a.row.end(), row.begin(), row.end());
      const auto first = a.pair_row.begin() + static_cast<std::ptrdiff_t>(a.pair_start[s]);
      const auto pair = std::find(first, a.pair_row.end(), found.first->second);
      a.pair_of[c * a.S + s] = static_cast<std::size_t>(pair - a.pair_row.begin());
      if (pair == a.pair_row.end()) a.pair_row.push_back(found.first->second);
    }
    a.pair_start.push_back(a.pair_row.size());
  }
  a.rows = known.size();
  a.user_start.push_back(0);
  for (std::size_t s = 0; s < a.S; ++s)
    for (std::size_t i = a.pair_start[s]; i < a.pair_start[s + 1]; ++i) {
      for (std::size_t c = 0; c < a.C; ++c)
        if (a.pair_of[c * a.S + s] == i) a.user.push_back(c);
      a.user_start.push_back(a.user.size());
    }
  a.place_start.push_back(0);
  for (std::size_t row = 0; row < a.rows; ++row) {
    for (std::size_t i = 0; i < a.pair_row.size(); ++i)
      if (a.pair_row[i] == row) a.place.push_back(i);
    a.place_start.push_back(a.place.size());
  }

  const std::size_t padded = a.blocks * kLanes;
  a.count = Array(padded * a.S), a.constant = Array(padded);
  std::fill_n(a.count.get(), padded * a.S, 0.0);
  for (std::size_t g = 0; g < padded; ++g) {
    double constant = 0;
    for (std::size_t s = 0; g < a.G && s < a.S; ++s) {
      const double y = count[s][g];
      a.count.get()[((g / kLanes) * a.S + s) * kLanes + g % kLanes] = y;
      constant -= y + std::lgamma(y + 1);
      if (log_length && log_length[s * length_sample + g * length_gene] != 0) a.has_length = true;
    }
    a.constant.get()[g] = constant;
  }
  if (a.has_length) {
    a.log_length = Array(padded * a.S), a.length = Array(padded * a.S);
    for (std::size_t g = 0; g < padded; ++g)
      for (std::size_t s = 0; s < a.S; ++s) {
        const std::size_t at = ((g / kLanes) * a.S + s) * kLanes + g % kLanes;
        a.log_length.get()[at] = g < a.G ? log_length[s * length_sample + g * length_gene] : 0.0;
        a.length.get()[at] = std::exp(a.log_length.get()[at]);
      }
  }
  return data.release();
} catch (const std::bad_alloc&) {
  return nullptr;
}

void bx_nbde_release(bx_nbde_data* data) { delete data; }

int64_t bx_nbde_parts(const bx_nbde_data* data) {
  return static_cast<int64_t>((data->blocks + kPartBlocks - 1) / kPartBlocks);
}

int64_t bx_nbde_sums(const bx_nbde_data* data, const bx_nbde_map* map) {
  return static_cast<int64_t>(Model::sums(*data, data->P * map->drivers));
}

double bx_nbde_genes(const bx_nbde_data* data, const bx_nbde_map* map, const double* z, const bx_nbde_hyper* hyper,
                     int prior_only, double* gradient_z, double* gradient_shift, bx_nbde_hyper_gradient* gradient) {
  const int64_t parts = bx_nbde_parts(data);
  std::vector<double> sums(static_cast<std::size_t>(parts * bx_nbde_sums(data, map)));
  bx_nbde_genes_of_parts(data, map, z, hyper, prior_only, 0, parts, gradient_z, sums.data());
  return bx_nbde_total(data, map, hyper, sums.data(), gradient_shift, gradient);
}

void bx_nbde_genes_of_parts(const bx_nbde_data* data, const bx_nbde_map* map, const double* z, const bx_nbde_hyper* hyper,
                            int prior_only, int64_t first_part, int64_t last_part, double* gradient_z, double* sums) {
  const bx_nbde_data& a = *data;
  const std::size_t P = a.P, J = map->drivers, width = Model::sums(a, P * J);
  Model model(a, *hyper, P * J);
  Work work(a);
  for (std::size_t part = first_part; part < static_cast<std::size_t>(last_part); ++part) {
    model.clear();
    const std::size_t end = std::min(a.blocks, (part + 1) * kPartBlocks);
    for (std::size_t b = part * kPartBlocks; b < end; ++b) {
      const std::size_t first = b * kLanes, live = std::min(kLanes, a.G - first);
      for (std::size_t p = 0; p < P; ++p) {
        const std::size_t at = p * a.G + first;
        Vec psi = load_some(map->center + at, live) + load_some(map->scale + at, live) * load_some(z + at, live);
        for (std::size_t j = 0; j < J; ++j) psi += load_some(map->slope[p] + j * a.G + first, live) * map->shift[p + j * P];
        work.psi[p] = psi;
      }
      model.block<Order::kGradient>(b, ones(live), prior_only != 0, work, nullptr);
      for (std::size_t p = 0; p < P; ++p) {
        const std::size_t at = p * a.G + first;
        store_some(gradient_z + at, work.gradient[p] * load_some(map->scale + at, live), live);
        for (std::size_t j = 0; j < J; ++j)
          model.d_shift[p + j * P] += work.gradient[p] * load_some(map->slope[p] + j * a.G + first, live);
      }
    }
    model.collect(sums + part * width);
  }
}

double bx_nbde_total(const bx_nbde_data* data, const bx_nbde_map* map, const bx_nbde_hyper* hyper, const double* sums,
                     double* gradient_shift, bx_nbde_hyper_gradient* gradient) {
  const bx_nbde_data& a = *data;
  const std::size_t parts = static_cast<std::size_t>(bx_nbde_parts(data)), shifts = a.P * map->drivers;
  const std::size_t width = Model::sums(a, shifts);
  std::vector<double> total(sums, sums + width);
  for (std::size_t part = 1; part < parts; ++part)
    for (std::size_t i = 0; i < width; ++i) total[i] += sums[part * width + i];
  const double* next = total.data();
  const double value = *next++;
  for (double* to : {&gradient->mu_alpha, &gradient->sigma_alpha, &gradient->log_a0, &gradient->log_a1, &gradient->sigma_phi,
                     &gradient->s})
    *to = *next++;
  gradient->sigma_alpha /= hyper->sigma_alpha;
  const std::pair<double*, std::size_t> vectors[] = {
      {gradient->m, a.K}, {gradient->log_weight, a.C}, {gradient->tau, a.R}, {gradient->log_f, a.S}, {gradient_shift, shifts}};
  for (const auto& [to, size] : vectors) std::copy_n(next, size, to), next += size;
  return value;
}

void bx_nbde_gene_terms(const bx_nbde_data* data, const double* psi, const bx_nbde_hyper* hyper, double* value, double* gradient,
                        double* precision) {
  const bx_nbde_data& a = *data;
  const std::size_t P = a.P;
  Model model(a, *hyper, 0);
  Work work(a);
  const Array memory(kLanes * P * P);
  Vec* curvature = reinterpret_cast<Vec*>(memory.get());
  for (std::size_t b = 0; b < a.blocks; ++b) {
    const std::size_t first = b * kLanes, live = std::min(kLanes, a.G - first);
    for (std::size_t p = 0; p < P; ++p) work.psi[p] = load_some(psi + p * a.G + first, live);
    const Vec density = precision ? model.block<Order::kCurvature>(b, ones(live), false, work, curvature)
                                  : model.block<Order::kGradient>(b, ones(live), false, work, nullptr);
    store_some(value + first, density, live);
    for (std::size_t p = 0; p < P; ++p) store_some(gradient + p * a.G + first, work.gradient[p], live);
    for (std::size_t p = 0; precision && p < P * P; ++p) store_some(precision + p * a.G + first, curvature[p], live);
  }
}

void bx_nbde_component_log_lik(const bx_nbde_data* data, int64_t draws, const double* alpha, const double* log_phi,
                               const double* effect, const double* nuisance, const double* log_f, double* result) {
  const bx_nbde_data& a = *data;
  Work work(a);
  for (int64_t draw = 0; draw < draws; ++draw) {
    const Factors factors(log_f + draw * a.S, a.S);
    for (std::size_t b = 0; b < a.blocks; ++b) {
      const std::size_t first = b * kLanes, live = std::min(kLanes, a.G - first), at = draw * a.G + first;
      for (std::size_t k = 0; k < a.K + a.R; ++k) {
        const double* from = k < a.K ? effect + at * a.K + k : nuisance + at * a.R + (k - a.K);
        const std::size_t stride = k < a.K ? a.K : a.R;
        double lane[kLanes] = {};
        for (std::size_t i = 0; i < live; ++i) lane[i] = from[i * stride];
        work.effect[k] = load(lane);
      }
      const Vec phi = exponential(clamp(load_some(log_phi + at, live), -kMaxLogPhi, kMaxLogPhi));
      likelihood<Order::kValue>(a, b, factors, load_some(alpha + at, live), phi, work.effect, work.effect + a.K, work);
      for (std::size_t c = 0; c < a.C; ++c) {
        double lane[kLanes];
        store(lane, work.log_lik[c]);
        for (std::size_t i = 0; i < live; ++i) result[(at + i) * a.C + c] = lane[i];
      }
    }
  }
}

void bx_nbde_gene_moves(const bx_nbde_data* data, const bx_nbde_map* map, const bx_nbde_hyper* hyper, int64_t leaps,
                        const bx_nbde_noise* noise, int64_t first, int64_t last, double* z, double* acceptance) {
  Walker walker(*data, *map, *hyper);
  const std::size_t end = std::min(data->blocks, static_cast<std::size_t>(last) * kPartBlocks);
  for (std::size_t b = static_cast<std::size_t>(first) * kPartBlocks; b < end; ++b) {
    walker.enter(b, z);
    walker.trajectory(leaps, noise->step, noise->momentum, noise->log_uniform, acceptance);
    walker.refresh(noise->effect, noise->log_uniform + data->G, acceptance + data->G);
    walker.leave(z);
  }
}

}  // extern "C"
