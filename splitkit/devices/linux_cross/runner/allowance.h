// How long a peer may be silent: a fixed time, and a multiple of what the link itself is predicted to take.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>

#include "clock.h"
#include "manifest.h"

namespace splitkit {

struct Allowance {
    double silence_s = 30.0;   // without progress, in receiving as in sending
    double greeting_s = 10.0;  // in all, from connecting to a whole HELLO
    double coming_s = 30.0;    // until the next sensor connects

    static Allowance of(const Manifest& manifest, double timeout_s) {
        constexpr double multiple = 4.0;           // a link may be that much slower than its profile says
        constexpr std::size_t greeting_bytes = 8192;  // more than a handshake of a TLS tunnel and a HELLO take
        constexpr double greeting_s = 10.0;
        return {timeout_s + multiple * manifest.transfer_s(wire::header_bytes + manifest.link.bytes()),
                std::min(timeout_s, greeting_s) + multiple * manifest.transfer_s(greeting_bytes), timeout_s};
    }
};

inline std::uint64_t deadline_after(double seconds) { return now_ns() + static_cast<std::uint64_t>(seconds * 1e9); }

inline std::string seconds_text(double seconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g s", seconds);
    return text;
}

}  // namespace splitkit
