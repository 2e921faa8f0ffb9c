// How a program waits: polling is exact and keeps the processor awake, sleeping leaves it to others.
#pragma once

#include <cstdint>

#include "clock.h"

namespace splitkit {

// Tells the core's other hardware thread that this one only waits.
inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct Patience {
    std::uint64_t spin_ns = 0;  // the last part of a wait polls the clock, since a sleeping thread wakes late
    std::uint64_t poll_ns = 0;  // how long a receiver polls its socket before it sleeps on it

    void wait_until(std::uint64_t deadline_ns) const {
        if (deadline_ns > spin_ns) sleep_until(deadline_ns - spin_ns);
        while (now_ns() < deadline_ns) relax();
    }
};

}  // namespace splitkit
