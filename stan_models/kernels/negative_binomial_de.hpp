#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_HPP
/* The function `genes` that stan_models/negative_binomial_de.stan declares when rendered with density = kernel: the log density
   of all genes as one node of Stan's expression graph, whose gradient the numerical core has computed in the same pass.
   Equations: negative_binomial_de_block.hpp.

   Threads. A chain evaluates the parts of the genes by as many threads as STAN_NUM_THREADS says (by default one), where the
   program is compiled with STAN_THREADS. Its draws are the same to the last bit whatever their number: see
   bx_nbde_genes_of_parts.

   Building. This header is the program's USER_HEADER. The core is either
   - an object of its own, compiled from negative_binomial_de.cpp for this processor
     (-O3 -march=native -fno-math-errno -std=c++17 -fPIC) and given to the linker, in CmdStan by EXTRA_OBJECTS=; or
   - part of the program, compiled with the program's own flags, when BAYESEXPR_KERNEL_INLINE is defined: nothing to link, slower
     unless those flags name the processor.
   The same source built with -shared is what Python loads: only the C interface of negative_binomial_de_core.hpp is used. */
#include <stan/model/model_header.hpp>

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <ostream>
#include <type_traits>
#include <vector>

#ifdef BAYESEXPR_KERNEL_INLINE
#include "negative_binomial_de.cpp"
#else
#include "negative_binomial_de_core.hpp"
#endif

namespace bayesexpr {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
using Counts = std::vector<std::vector<int>>;

/**
 * The core's copy of the data of the program that this thread evaluates.
 *
 * Stan hands the data over anew at each call, and neither their addresses nor their sizes tell one data set from another: a
 * process may destroy a program and build the next one in the same memory. So the content itself is compared with that of the
 * last call, which costs little beside the density, and the copy is made again only where it differs. One copy for each
 * thread: no lock, and nothing that another thread may release.
 */
class Prepared {
 public:
  /** coordinates: P, which tells whether genes have dispersions of their own. */
  template <typename Length, typename Designs, typename Nuisance>
  static const bx_nbde_data* get(const Counts& count, const Length& log_length, const Designs& component_design,
                                 const Nuisance& nuisance_design, Eigen::Index coordinates) {
    static thread_local Prepared last;
    const Eigen::Index deviates = coordinates - 1 - component_design.front().cols() - nuisance_design.cols();
    if (!last.same(count, log_length, component_design, nuisance_design, deviates))
      last = Prepared(count, log_length, component_design, nuisance_design, deviates);
    return last.core_.get();
  }

 private:
  Prepared() = default;

  template <typename Length, typename Designs, typename Nuisance>
  Prepared(const Counts& count, const Length& log_length, const Designs& component_design, const Nuisance& nuisance_design,
           Eigen::Index deviates)
      : deviates_(deviates),
        count_(count),
        log_length_(log_length),
        component_design_(component_design.begin(), component_design.end()),
        nuisance_design_(nuisance_design) {
    std::vector<const std::int32_t*> rows;
    std::vector<const double*> designs;
    for (const auto& row : count_) rows.push_back(row.data());
    for (const auto& design : component_design_) designs.push_back(design.data());
    const bx_nbde_sizes sizes{static_cast<std::int64_t>(count_.front().size()), static_cast<std::int64_t>(count_.size()),
                              component_design_.front().cols(), nuisance_design_.cols(),
                              static_cast<std::int64_t>(component_design_.size()), deviates};
    core_.reset(bx_nbde_prepare(&sizes, rows.data(), log_length_.data(), 1, log_length_.rows(), designs.data(),
                                nuisance_design_.data()));
    if (!core_) throw std::bad_alloc();
  }

  template <typename Other>
  static bool equal(const Matrix& a, const Other& b) {
    return a.rows() == b.rows() && a.cols() == b.cols() &&
           (a.size() == 0 || std::memcmp(a.data(), b.data(), sizeof(double) * a.size()) == 0);
  }

  template <typename Length, typename Designs, typename Nuisance>
  bool same(const Counts& count, const Length& log_length, const Designs& component_design,
            const Nuisance& nuisance_design, Eigen::Index deviates) const {
    if (!core_ || deviates != deviates_ || component_design.size() != component_design_.size()) return false;
    for (std::size_t c = 0; c < component_design_.size(); ++c)
      if (!equal(component_design_[c], component_design[c])) return false;
    return equal(nuisance_design_, nuisance_design) && equal(log_length_, log_length) && count_ == count;
  }

  struct Release {
    void operator()(bx_nbde_data* data) const { bx_nbde_release(data); }
  };

  Eigen::Index deviates_ = 0;
  Counts count_;
  Matrix log_length_;
  std::vector<Matrix> component_design_;
  Matrix nuisance_design_;
  std::unique_ptr<bx_nbde_data, Release> core_;
};

/** Operands of the node other than z that are autodiff variables, with the partial derivatives. */
class Edges {
 public:
  template <typename T>
  void add(const T& operand, const double* partial) {
    if constexpr (stan::is_var<T>::value) {
      operands_.push_back(operand.vi_);
      partials_.push_back(*partial);
    } else if constexpr (stan::is_eigen<T>::value) {
      if constexpr (stan::is_var<stan::value_type_t<T>>::value)
        for (Eigen::Index j = 0; j < operand.cols(); ++j)
          for (Eigen::Index i = 0; i < operand.rows(); ++i) add(operand.coeff(i, j), partial++);
    }
  }

  std::size_t size() const { return operands_.size(); }
  stan::math::vari** operands() const { return to_arena(operands_); }
  double* partials() const { return to_arena(partials_); }

 private:
  template <typename T>
  static T* to_arena(const std::vector<T>& from) {
    T* to = stan::math::ChainableStack::instance_->memalloc_.alloc_array<T>(from.size());
    std::copy(from.begin(), from.end(), to);
    return to;
  }

  std::vector<stan::math::vari*> operands_;
  std::vector<double> partials_;
};

/** A vector of values, contiguous whatever it comes from. */
template <typename T>
Eigen::VectorXd values(const T& x) {
  return stan::math::value_of(x);
}

/**
 * Do work(first, last) for the parts of the genes 0 to `parts`, in whatever order and by as many threads as the chain has.
 *
 * Threads that wait are kept from taking up work from outside, such as another chain, whose expression graph would grow into
 * this one's.
 */
template <typename Work>
void for_parts(std::int64_t parts, const Work& work) {
#ifdef STAN_THREADS
  static const int threads = stan::math::internal::get_num_threads();
  if (threads > 1 && parts > 1) {
    tbb::this_task_arena::isolate(
        [&] { tbb::parallel_for(std::int64_t{0}, parts, [&](std::int64_t part) { work(part, part + 1); }); });
    return;
  }
#endif
  work(0, parts);
}

}  // namespace bayesexpr

/**
 * Log density of the coordinates z of all genes and of their counts.
 *
 * @param z                [G, P] whitened coordinates: alpha, e, d[K], u[R]; without e where all genes share the dispersion
 *                         exp(log_a0), and then log_a1 and sigma_phi are not looked at
 * @param shift            [P, J] drivers, @param center, @param slope, @param scale the whitening map
 * @param prior_only       leave the likelihood out
 * @param count            [S][G], @param log_length [S, G]
 * @param component_design C matrices [S, K], @param nuisance_design [S, R]
 * @param nu               degrees of freedom of the slab; 0: normal
 * @param m                [K] mean of the slab, or empty: zero
 * @param s                its scale
 * @param log_weight       [C], @param tau [R] scale of each column of nuisance_design, @param log_f [S]
 */
template <bool propto, typename Z, typename Shift, typename Center, typename Slope, typename Scale, typename Length,
          typename Designs, typename Nuisance, typename Nu, typename MuAlpha, typename SigmaAlpha, typename LogA0,
          typename LogA1, typename SigmaPhi, typename M, typename S, typename LogWeight, typename Tau, typename LogF>
auto genes_lpdf(const Z& z, const Shift& shift, const Center& center, const Slope& slope, const Scale& scale, int prior_only,
                const bayesexpr::Counts& count, const Length& log_length, const Designs& component_design,
                const Nuisance& nuisance_design, const Nu& nu, const MuAlpha& mu_alpha, const SigmaAlpha& sigma_alpha,
                const LogA0& log_a0, const LogA1& log_a1, const SigmaPhi& sigma_phi, const M& m, const S& s,
                const LogWeight& log_weight, const Tau& tau, const LogF& log_f, std::ostream*) {
  using stan::math::value_of;
  using Result =
      stan::return_type_t<Z, Shift, MuAlpha, SigmaAlpha, LogA0, LogA1, SigmaPhi, M, S, LogWeight, Tau, LogF>;
  constexpr bool z_varies = stan::is_var<stan::value_type_t<Z>>::value;
  const bx_nbde_data* data =
      bayesexpr::Prepared::get(count, log_length, component_design, nuisance_design, z.cols());

  const Eigen::VectorXd m_value = bayesexpr::values(m), log_weight_value = bayesexpr::values(log_weight),
                        tau_value = bayesexpr::values(tau), log_f_value = bayesexpr::values(log_f);
  const bayesexpr::Matrix shift_value = value_of(shift);
  std::vector<const double*> slopes;
  for (const auto& matrix : slope) slopes.push_back(matrix.data());
  const bx_nbde_map map{shift.cols(), center.data(), scale.data(), slopes.data(), shift_value.data()};
  const bx_nbde_hyper hyper{static_cast<double>(nu), value_of(mu_alpha), value_of(sigma_alpha), value_of(log_a0),
                            value_of(log_a1), value_of(sigma_phi), value_of(s),
                            m_value.size() ? m_value.data() : nullptr, log_weight_value.data(), tau_value.data(),
                            log_f_value.data()};

  Eigen::VectorXd d_m(component_design.front().cols()), d_log_weight(log_weight.size()), d_tau(tau.size()),
      d_log_f(log_f.size());
  bayesexpr::Matrix d_shift(shift.rows(), shift.cols());
  bx_nbde_hyper_gradient d{};
  d.m = d_m.data(), d.log_weight = d_log_weight.data(), d.tau = d_tau.data(), d.log_f = d_log_f.data();

  // Coordinates of the genes, which the core replaces by the gradient. It outlives this call where the reverse pass needs it.
  const std::size_t size = static_cast<std::size_t>(z.size());
  std::unique_ptr<double[]> owned;
  double* d_z;
  if constexpr (z_varies) {
    d_z = stan::math::ChainableStack::instance_->memalloc_.alloc_array<double>(size);
  } else {
    owned.reset(new double[size]);
    d_z = owned.get();
  }
  std::vector<double> sums(static_cast<std::size_t>(bx_nbde_parts(data) * bx_nbde_sums(data, &map)));
  bayesexpr::for_parts(bx_nbde_parts(data), [&](std::int64_t first, std::int64_t last) {
    const Eigen::Index begin = first * BX_NBDE_PART, end = std::min<Eigen::Index>(z.rows(), last * BX_NBDE_PART);
    for (Eigen::Index p = 0; p < z.cols(); ++p)
      for (Eigen::Index g = begin; g < end; ++g) d_z[p * z.rows() + g] = value_of(z.coeff(g, p));
    bx_nbde_genes_of_parts(data, &map, d_z, &hyper, prior_only, first, last, d_z, sums.data());
  });
  const double value = bx_nbde_total(data, &map, &hyper, sums.data(), d_shift.data(), &d);
  if (!std::isfinite(value)) throw std::domain_error("genes: the log density is not finite");

  if constexpr (stan::is_var<Result>::value) {
    bayesexpr::Edges edges;
    edges.add(shift, d_shift.data());
    edges.add(mu_alpha, &d.mu_alpha), edges.add(sigma_alpha, &d.sigma_alpha), edges.add(log_a0, &d.log_a0);
    edges.add(log_a1, &d.log_a1), edges.add(sigma_phi, &d.sigma_phi), edges.add(s, &d.s);
    edges.add(m, d.m), edges.add(log_weight, d.log_weight), edges.add(log_f, d.log_f);
    const auto& tau_operands = stan::math::to_ref(tau);
    edges.add(tau_operands, d.tau);
    stan::math::vari** z_operands = nullptr;
    if constexpr (z_varies) {
      z_operands = stan::math::ChainableStack::instance_->memalloc_.alloc_array<stan::math::vari*>(size);
      for (std::size_t i = 0; i < size; ++i) z_operands[i] = z.coeff(static_cast<Eigen::Index>(i)).vi_;
    }
    const std::size_t z_size = z_varies ? size : 0, edge_count = edges.size();
    stan::math::vari** operands = edges.operands();
    const double* partials = edges.partials();
    return Result(stan::math::make_callback_var(value, [=](const auto& node) {
      const double adjoint = node.adj();
      for (std::size_t i = 0; i < z_size; ++i) z_operands[i]->adj_ += adjoint * d_z[i];
      for (std::size_t i = 0; i < edge_count; ++i) operands[i]->adj_ += adjoint * partials[i];
    }));
  } else {
    return Result(value);
  }
}

#endif
