#include "grammar.hpp"

#include <utility>

namespace frontend {

namespace {

const double pi = 3.14159265358979323846;

argument unheaded(argument alternative) {
  alternative.headed = false;
  return alternative;
}

argument extension(argument ours) {
  ours.extension = true;
  return ours;
}

argument sample() {
  argument adapt = group(
      "adapt", "Warm-up adaptation",
      {flag("engaged", "Adapt step size and metric during warm-up", true),
       real("gamma", "Adaptation regularization scale", 0.05, above(0)),
       real("delta", "Adaptation target acceptance statistic", 0.8, strictly_between(0, 1)),
       real("kappa", "Adaptation relaxation exponent", 0.75, above(0)),
       real("t0", "Adaptation iteration offset", 10, above(0)),
       integer("init_buffer", "Width of the initial fast adaptation interval", 75, at_least(0)),
       integer("term_buffer", "Width of the final fast adaptation interval", 50, at_least(0)),
       integer("window", "Initial width of the slow adaptation interval", 25, at_least(0)),
       flag("save_metric", "Write adapted step size and inverse metric to <output file>_metric.json", false)});
  argument engine = choice(
      "engine", "How far a trajectory goes", "nuts",
      {group("static", "Static integration time",
             {real("int_time", "Total integration time of a trajectory", 2 * pi, above(0))}),
       group("nuts", "No-U-Turn sampler", {integer("max_depth", "Maximum tree depth", 10, above(0))})});
  argument metric = choice("metric", "Geometry of the base manifold", "diag_e",
                           {unheaded(group("unit_e", "Unit metric")), unheaded(group("diag_e", "Diagonal metric")),
                            unheaded(group("dense_e", "Dense metric"))});
  argument algorithm = choice(
      "algorithm", "Sampling algorithm", "hmc",
      {group("hmc", "Hamiltonian Monte Carlo",
             {engine, metric, text("metric_file", "Initial inverse metric, one file or a comma-separated list", ""),
              real("stepsize", "Step size of the discrete evolution", 1, above(0)),
              real("stepsize_jitter", "Uniform jitter of the step size", 0, between(0, 1))}),
       group("fixed_param", "Parameters stay where they are")});
  return group("sample", "Markov chain Monte Carlo",
               {integer("num_samples", "Iterations after warm-up", 1000, at_least(0)),
                integer("num_warmup", "Warm-up iterations", 1000, at_least(0)),
                flag("save_warmup", "Write warm-up iterations too", false),
                integer("thin", "Write every thin-th iteration", 1, above(0)), adapt, algorithm,
                integer("num_chains", "Chains run in this process", 1, above(0))});
}

std::vector<argument> quasi_newton(bool with_history) {
  std::vector<argument> members{
      real("init_alpha", "Line search step size of the first iteration", 0.001, above(0)),
      real("tol_obj", "Tolerance on changes of the objective", 1e-12, at_least(0)),
      real("tol_rel_obj", "Tolerance on relative changes of the objective", 1e4, at_least(0)),
      real("tol_grad", "Tolerance on the norm of the gradient", 1e-8, at_least(0)),
      real("tol_rel_grad", "Tolerance on the relative norm of the gradient", 1e7, at_least(0)),
      real("tol_param", "Tolerance on changes of the parameters", 1e-8, at_least(0))};
  if (with_history) members.push_back(integer("history_size", "Updates kept for the Hessian", 5, above(0)));
  return members;
}

argument optimize() {
  argument algorithm = choice("algorithm", "Optimization algorithm", "lbfgs",
                              {group("bfgs", "BFGS with line search", quasi_newton(false)),
                               group("lbfgs", "LBFGS with line search", quasi_newton(true)),
                               group("newton", "Newton's method")});
  return group("optimize", "Posterior mode or maximum likelihood",
               {algorithm, flag("jacobian", "Include the log determinant of the transforms", false),
                integer("iter", "Maximum number of iterations", 2000, above(0)),
                flag("save_iterations", "Write every iteration", false)});
}

argument variational() {
  return group(
      "variational", "Automatic differentiation variational inference",
      {choice("algorithm", "Family of the approximation", "meanfield",
              {group("meanfield", "Independent normals"), group("fullrank", "Multivariate normal")}),
       integer("iter", "Maximum number of iterations", 10000, above(0)),
       integer("grad_samples", "Draws per gradient", 1, above(0)),
       integer("elbo_samples", "Draws per ELBO", 100, above(0)),
       real("eta", "Step size scale", 1, above(0)),
       group("adapt", "Adaptation of eta",
             {flag("engaged", "Adapt eta", true), integer("iter", "Iterations per candidate", 50, above(0))}),
       real("tol_rel_obj", "Tolerance on the relative change of the ELBO", 0.01, above(0)),
       integer("eval_elbo", "Evaluate the ELBO every this many iterations", 100, above(0)),
       integer("output_samples", "Draws from the approximation", 1000, at_least(0))});
}

argument pathfinder() {
  std::vector<argument> members = quasi_newton(true);
  for (argument more : {integer("num_psis_draws", "Draws after importance resampling", 1000, above(0)),
                        integer("num_paths", "Number of single paths", 4, above(0)),
                        flag("save_single_paths", "Write what each path gives", false),
                        flag("psis_resample", "Importance-resample the draws of the paths", true),
                        flag("calculate_lp", "Compute the log density of every draw", true),
                        integer("max_lbfgs_iters", "Maximum number of iterations per path", 1000, above(0)),
                        integer("num_draws", "Draws of each path", 1000, above(0)),
                        integer("num_elbo_draws", "Draws per ELBO", 25, above(0))})
    members.push_back(std::move(more));
  return group("pathfinder", "Pathfinder variational inference", std::move(members));
}

argument laplace() {
  return group("laplace", "Normal approximation at the mode",
               {text("mode", "Mode on the constrained scale, a JSON or Stan CSV file", ""),
                flag("jacobian", "Include the log determinant of the transforms", true),
                integer("draws", "Number of draws", 1000, above(0)),
                flag("calculate_lp", "Compute the log density of every draw", true)});
}

argument generate_quantities() {
  return group("generate_quantities", "Generated quantities of an earlier fit",
               {text("fitted_params", "Stan CSV file with parameter draws", ""),
                integer("num_chains", "Chains, each with its file of draws", 1, above(0))});
}

argument log_prob() {
  return group("log_prob", "Log density and gradient at given parameters",
               {text("unconstrained_params", "JSON or R dump file with params_r", ""),
                text("constrained_params", "JSON, R dump or Stan CSV file of parameters", ""),
                flag("jacobian", "Include the log determinant of the transforms", true)});
}

argument diagnose() {
  return group("diagnose", "Compare gradients with finite differences",
               {choice("test", "Kind of test", "gradient",
                       {group("gradient", "Gradient against finite differences",
                              {real("epsilon", "Finite difference step", 1e-6, above(0)),
                               real("error", "Largest difference that passes", 1e-6, above(0))})})});
}

}  // namespace

argument grammar(unsigned seed, int threads) {
  range digits = between(1, 18);
  digits.minus_one_too = true;
  range thread_count = at_least(1);
  thread_count.minus_one_too = true;
  range seed_range = between(0, 4294967295.0);
  seed_range.minus_one_too = true;
  return group(
      "", "",
      {choice("method", "What to do", "sample",
              {sample(), optimize(), variational(), diagnose(), generate_quantities(), pathfinder(), log_prob(),
               laplace()}),
       integer("id", "Identifier of the (first) chain", 1, between(0, 4294967295.0)),
       group("data", "Input data", {text("file", "JSON or R dump file", "")}),
       text("init", "A number x for uniform(-x, x), 0, or files of initial values", "2"),
       group("random", "Random numbers", {integer("seed", "Seed; -1 takes the time", seed, seed_range)}),
       group("output", "Output files",
             {text("file", "Output file, one name or a comma-separated list", "output.csv"),
              text("diagnostic_file", "File of latent dynamics or Hessian", ""),
              integer("refresh", "Iterations between progress messages", 100, at_least(0)),
              integer("sig_figs", "Significant digits of the output", 8, digits),
              text("profile_file", "File of profiling information", "profile.csv"),
              flag("save_cmdstan_config", "Write the configuration to <output file>_config.json", false),
              extension(flag("binary", "Model columns to <output file>.draws as float32, names to .names", false)),
              extension(flag("status_columns", "Columns converged__ of optimize and path__ of pathfinder", false))}),
       integer("num_threads", "Threads; -1 takes all", threads, thread_count)});
}

}  // namespace frontend
