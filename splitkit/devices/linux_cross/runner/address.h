// Where somebody listens: `HOST`, `HOST:PORT`, `[::1]:PORT` or `::1`.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace splitkit {

struct Address {
    std::string host;  // numeric, IPv4 or IPv6, or localhost
    std::uint16_t port = 0;

    // As it is parsed.
    std::string text() const;
};

// Throws UsageError: that is no address, or its port does not exist; port 0 (any free one) does for `listening`.
Address parse_address(const std::string& text, bool listening);

// A socket address of either version.
struct Endpoint {
    sockaddr_storage storage{};
    socklen_t size = 0;

    // Throws Error: not numeric. Resolving names needs shared libraries, and this program is static.
    static Endpoint of(const Address& address);

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

    Address address() const;

    // Whether only programs of this machine can reach it.
    bool loopback() const;
};

}  // namespace splitkit
