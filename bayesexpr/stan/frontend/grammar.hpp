// What the command line may say: every argument with its default and its limits.
#ifndef FRONTEND_GRAMMAR_HPP
#define FRONTEND_GRAMMAR_HPP

#include "argument.hpp"

namespace frontend {

// The whole tree at its defaults. `seed` and `threads` are defaults that depend on the moment and the environment.
argument grammar(unsigned seed, int threads);

}  // namespace frontend

#endif
