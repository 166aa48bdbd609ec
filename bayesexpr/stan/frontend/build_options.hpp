// How the executable was made. The front end itself is always compiled for threads, so that one build of it
// serves every model; whether a model was asked for threads decides what `info` tells an interface, and with
// it whether the interface runs its chains in one process or in several.
#ifndef FRONTEND_BUILD_OPTIONS_HPP
#define FRONTEND_BUILD_OPTIONS_HPP

namespace frontend {

extern const bool built_with_threads;
extern const bool built_without_range_checks;

}  // namespace frontend

#endif
