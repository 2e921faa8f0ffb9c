// CLOCK_MONOTONIC in ns: processes of one machine read the same clock.
#pragma once

#include <cstdint>
#include <ctime>

namespace splitkit {

inline std::uint64_t now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1000000000u + static_cast<std::uint64_t>(t.tv_nsec);
}

inline void sleep_until(std::uint64_t deadline_ns) {
    timespec t;
    t.tv_sec = static_cast<time_t>(deadline_ns / 1000000000u);
    t.tv_nsec = static_cast<long>(deadline_ns % 1000000000u);
    while (now_ns() < deadline_ns) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

}  // namespace splitkit
