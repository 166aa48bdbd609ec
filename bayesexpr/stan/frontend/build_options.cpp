// Compiled anew with every model: it takes no time and carries that build's options.
#include "build_options.hpp"

namespace frontend {

#ifdef MODEL_STAN_THREADS
const bool built_with_threads = true;
#else
const bool built_with_threads = false;
#endif

#ifdef STAN_NO_RANGE_CHECKS
const bool built_without_range_checks = true;
#else
const bool built_without_range_checks = false;
#endif

}  // namespace frontend
