// A connection made as slow as a link: one transfer lasts its overhead + payload / bandwidth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arguments.h"
#include "connection.h"
#include "patience.h"

namespace splitkit {

// When a link carried by several processes is free again: 8 bytes in a file, under a lock.
class SharedLink {
public:
    // Throws Error: the file cannot be used.
    explicit SharedLink(const std::string& path);
    SharedLink(const SharedLink&) = delete;
    SharedLink& operator=(const SharedLink&) = delete;
    ~SharedLink();

    // Takes the link from `earliest_ns` on or as soon as it is free; returns when that begins.
    std::uint64_t reserve(std::uint64_t earliest_ns, std::uint64_t duration_ns);

private:
    int fd_;
    std::uint64_t* free_at_;
};

// A token bucket that fills at the bandwidth and is empty when a transfer begins: bytes leave no earlier than the link
// would have carried them. What fits into one burst leaves in one system call, header included.
class ShapedLink {
public:
    // Of `--link-overhead-us`, `--link-bytes-per-s` and `--shared-link FILE`; without them messages leave at once.
    ShapedLink(const Arguments& arguments, const Patience& patience);

    // Sends a message that was ready at `ready_ns`; returns when its last byte has left. Throws Error.
    void send(Connection& peer, const wire::Message& message, std::uint64_t ready_ns);

private:
    std::uint64_t overhead_ns_;
    double ns_per_byte_;
    std::optional<SharedLink> shared_;
    Patience patience_;
};

}  // namespace splitkit
