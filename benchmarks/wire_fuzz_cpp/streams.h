// Damaged streams out of a file, each to be read by one side of the runner as if it came from a peer.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#include "error.h"
#include "manifest.h"

namespace splitkit {

using Stream = std::vector<std::uint8_t>;

// The bundle that benchmarks/wire_streams.py speaks of.
inline Manifest fuzzed_manifest() {
    Manifest manifest;
    for (std::size_t i = 0; i < manifest.bundle.size(); ++i) manifest.bundle[i] = static_cast<std::uint8_t>(i);
    manifest.link = {Dtype::uint8, {1, 100}};
    manifest.link_bytes_per_s = 1e12;
    return manifest;
}

// All of it, and then the end of the stream.
inline void deliver(int fd, const Stream& stream) {
    for (std::size_t sent = 0; sent < stream.size();) {
        const ssize_t n = send(fd, stream.data() + sent, stream.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<std::size_t>(n);
    }
    shutdown(fd, SHUT_WR);
}

// Gives every stream of a file (length as u32, little-endian, then bytes) to `read`; prints how many were refused and
// how many read to their end.
inline int for_each_stream(const char* path, const std::function<void(const Stream&)>& read) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) return 1;
    long refused = 0, accepted = 0;
    std::uint8_t length[4];
    while (std::fread(length, 1, sizeof length, file) == sizeof length) {
        Stream stream(length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::size_t>(length[3]) << 24);
        if (std::fread(stream.data(), 1, stream.size(), file) != stream.size()) return 1;
        alarm(5);
        try {
            read(stream);
            ++accepted;
        } catch (const Error&) {
            ++refused;
        }
    }
    alarm(0);
    std::fclose(file);
    std::printf("%ld %ld\n", refused, accepted);
    return 0;
}

}  // namespace splitkit
