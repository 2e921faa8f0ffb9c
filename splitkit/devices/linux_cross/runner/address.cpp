#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "arguments.h"
#include "error.h"

namespace splitkit {

namespace {

constexpr std::uint16_t default_port = 4747;

sockaddr_in& v4(Endpoint& endpoint) { return reinterpret_cast<sockaddr_in&>(endpoint.storage); }
sockaddr_in6& v6(Endpoint& endpoint) { return reinterpret_cast<sockaddr_in6&>(endpoint.storage); }
const sockaddr_in& v4(const Endpoint& endpoint) { return reinterpret_cast<const sockaddr_in&>(endpoint.storage); }
const sockaddr_in6& v6(const Endpoint& endpoint) { return reinterpret_cast<const sockaddr_in6&>(endpoint.storage); }

std::uint16_t parse_port(const std::string& digits, const std::string& text, bool listening) {
    if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos)
        throw UsageError{"'" + text + "' is not HOST, HOST:PORT or [IPV6]:PORT"};
    const unsigned long port = std::stoul(digits), least = listening ? 0 : 1;
    if (port < least || port > 65535)
        throw UsageError{"'" + text + "': port " + digits + " does not exist: " + std::to_string(least) + " to 65535 do"};
    return static_cast<std::uint16_t>(port);
}

}  // namespace

std::string Address::text() const {
    const bool brackets = host.find(':') != std::string::npos;
    return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Address parse_address(const std::string& text, bool listening) {
    const std::size_t close = text.find(']'), colon = text.rfind(':');
    std::string host = text, port = std::to_string(default_port);
    if (!text.empty() && text[0] == '[' && close != std::string::npos) {
        host = text.substr(1, close - 1);
        if (close + 1 < text.size()) port = text[close + 1] == ':' ? text.substr(close + 2) : "";
        if (host.find(':') == std::string::npos) host.clear();
    } else if (colon != std::string::npos && text.find(':') == colon) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
    }
    if (host.empty() || host.find_first_of("[] \t") != std::string::npos) port.clear();
    return {host, parse_port(port, text, listening)};
}

Endpoint Endpoint::of(const Address& address) {
    const std::string host = address.host == "localhost" ? "127.0.0.1" : address.host;
    const std::size_t percent = host.find('%');
    Endpoint out;
    if (inet_pton(AF_INET, host.c_str(), &v4(out).sin_addr) == 1) {
        v4(out).sin_family = AF_INET;
        v4(out).sin_port = htons(address.port);
        out.size = sizeof(sockaddr_in);
    } else if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &v6(out).sin6_addr) == 1) {
        v6(out).sin6_family = AF_INET6;
        v6(out).sin6_port = htons(address.port);
        if (percent != std::string::npos) v6(out).sin6_scope_id = if_nametoindex(host.substr(percent + 1).c_str());
        out.size = sizeof(sockaddr_in6);
    } else {
        throw Error(address.text() + ": not a numeric IPv4 or IPv6 address");
    }
    return out;
}

Address Endpoint::address() const {
    char text[INET6_ADDRSTRLEN] = "a peer";
    if (storage.ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4(*this).sin_addr, text, sizeof text);
        return {text, ntohs(v4(*this).sin_port)};
    }
    if (storage.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6(*this).sin6_addr, text, sizeof text);
        return {text, ntohs(v6(*this).sin6_port)};
    }
    return {text, 0};
}

bool Endpoint::loopback() const {
    if (storage.ss_family == AF_INET) return ntohl(v4(*this).sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6(*this).sin6_addr);
}

}  // namespace splitkit
