#include "connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "clock.h"
#include "error.h"

namespace splitkit {

namespace {

std::string reason() { return std::strerror(errno); }

// Only numeric addresses: resolving names needs shared libraries, and this program is static.
sockaddr_in resolve(const Address& address) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(address.port);
    const std::string host = address.host == "localhost" ? "127.0.0.1" : address.host;
    if (inet_pton(AF_INET, host.c_str(), &out.sin_addr) != 1)
        throw Error(address.text() + ": not a numeric IPv4 address");
    return out;
}

// Whether the descriptor became ready before the deadline; polled for `poll_ns`, since a sleeping thread wakes late.
bool wait_for(int fd, short events, std::uint64_t deadline_ns, std::uint64_t poll_ns = 0) {
    const std::uint64_t sleep_ns = now_ns() + poll_ns;
    do {
        pollfd poller{fd, events, 0};
        if (poll(&poller, 1, 0) > 0) return true;
    } while (now_ns() < std::min(sleep_ns, deadline_ns));
    for (;;) {
        const std::uint64_t now = now_ns();
        if (now >= deadline_ns) return false;
        pollfd poller{fd, events, 0};
        const int ready = poll(&poller, 1, static_cast<int>((deadline_ns - now) / 1000000u) + 1);
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw Error("poll: " + reason());
    }
}

std::uint64_t deadline_after(double seconds) { return now_ns() + static_cast<std::uint64_t>(seconds * 1e9); }

}  // namespace

Address parse_address(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    const std::string digits = colon == std::string::npos ? "" : text.substr(colon + 1);
    const bool numeric = !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == std::string::npos;
    if (!numeric || colon == 0 || std::stoul(digits) > 65535) throw Error("'" + text + "' is not HOST:PORT");
    return {text.substr(0, colon), static_cast<std::uint16_t>(std::stoul(digits))};
}

Socket& Socket::operator=(Socket&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) close(fd_);
        fd_ = other.fd_;
        other.fd_ = -1;
    }
    return *this;
}

Socket::~Socket() {
    if (fd_ >= 0) close(fd_);
}

Connection::Connection(Socket socket, std::string peer, double timeout_s)
    : name(std::move(peer)), socket_(std::move(socket)), timeout_s_(timeout_s) {
    const int on = 1;
    setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void Connection::send(const wire::Message& message) {
    const wire::Bytes head = wire::encode_head(message);
    write(head.data(), head.size(), message.payload.data(), message.payload.size());
}

void Connection::write(const std::uint8_t* first, std::size_t first_bytes, const std::uint8_t* second,
                       std::size_t second_bytes) {
    iovec parts[] = {{const_cast<std::uint8_t*>(first), first_bytes}, {const_cast<std::uint8_t*>(second), second_bytes}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        const ssize_t n = sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw Error(name + " is gone: " + reason());
        auto left = static_cast<std::size_t>(n);
        for (iovec& part : parts) {
            const std::size_t gone = std::min(left, part.iov_len);
            part = {static_cast<std::uint8_t*>(part.iov_base) + gone, part.iov_len - gone};
            left -= gone;
        }
    }
}

wire::Message Connection::receive() {
    try {
        const std::uint64_t deadline = deadline_after(timeout_s_);
        wire::Bytes head(wire::header_bytes);
        read(head.data(), head.size(), "a header", deadline);
        const std::size_t shape = wire::shape_bytes(head.data());
        head.resize(head.size() + shape);
        read(head.data() + wire::header_bytes, shape, "a shape", deadline);
        wire::Header header = wire::decode_head(head);
        wire::Bytes& payload = header.message.payload;
        payload.resize(header.payload_bytes);
        read(payload.data(), payload.size(), "frame " + std::to_string(header.message.frame), deadline);
        wire::check_payload(header);
        return std::move(header.message);
    } catch (const Error& error) {
        throw Error(name + ": " + error.what());
    }
}

void Connection::read(std::uint8_t* to, std::size_t size, const std::string& what, std::uint64_t deadline_ns) {
    for (std::size_t got = 0; got < size;) {
        const auto progress = [&] { return " (" + std::to_string(got) + " of " + std::to_string(size) + " bytes)"; };
        if (!wait_for(socket_.fd(), POLLIN, deadline_ns, poll_ns)) throw Error("silent while " + what + " was due" + progress());
        const ssize_t n = recv(socket_.fd(), to + got, size - got, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw Error("gone: " + reason());
        if (n == 0 && got == 0 && what == "a header") throw Error("closed the connection");
        if (n == 0) throw Error("closed the connection in the middle of " + what + progress());
        got += static_cast<std::size_t>(n);
    }
}

Connection connect_to(const Address& address, const std::string& name, double timeout_s) {
    const sockaddr_in where = resolve(address);
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0 || connect(socket.fd(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0)
        throw Error(address.text() + ": cannot connect to " + name + ": " + reason());
    return Connection(std::move(socket), name, timeout_s);
}

Server::Server(const Address& address) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in where = resolve(address);
    const int on = 1;
    setsockopt(socket_.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (socket_.fd() < 0 || bind(socket_.fd(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 ||
        listen(socket_.fd(), 16) != 0)
        throw Error(address.text() + ": cannot listen: " + reason());
}

std::uint16_t Server::port() const {
    sockaddr_in where{};
    socklen_t size = sizeof where;
    getsockname(socket_.fd(), reinterpret_cast<sockaddr*>(&where), &size);
    return ntohs(where.sin_port);
}

Socket Server::accept(std::uint64_t deadline_ns) {
    if (!wait_for(socket_.fd(), POLLIN, deadline_ns)) return Socket();
    return Socket(accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
}

}  // namespace splitkit
