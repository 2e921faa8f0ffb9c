#include "connection.h"

#include <fcntl.h>
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

// A peer that lets so many bytes through, or the rest of what is due, is not silent; one that dribbles is.
constexpr std::size_t progress_bytes = 4096;

std::string reason() { return std::strerror(errno); }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

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
        const std::uint64_t left_ms = std::min<std::uint64_t>((deadline_ns - now) / 1000000u, 1000000u) + 1;
        const int ready = poll(&poller, 1, static_cast<int>(left_ms));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw Error("poll: " + reason());
    }
}

}  // namespace

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

Connection::Connection(Socket socket, std::string peer, double silence_s)
    : name(std::move(peer)), socket_(std::move(socket)), silence_s_(silence_s) {
    const int on = 1;
    setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
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
    std::uint64_t deadline_ns = deadline_after(silence_s_);
    for (std::size_t size = first_bytes + second_bytes, sent = 0, mark = progress_bytes; sent < size;) {
        const ssize_t n = sendmsg(fd(), &message, MSG_NOSIGNAL);
        if (n < 0 && !would_block()) throw Error(name + " is gone: " + reason());
        if (n < 0) {
            if (!wait_for(fd(), POLLOUT, deadline_ns))
                throw Error(name + ": took nothing for " + seconds_text(silence_s_) + " (" + std::to_string(sent) + " of " +
                            std::to_string(size) + " bytes)");
            continue;
        }
        auto left = static_cast<std::size_t>(n);
        for (iovec& part : parts) {
            const std::size_t gone = std::min(left, part.iov_len);
            part = {static_cast<std::uint8_t*>(part.iov_base) + gone, part.iov_len - gone};
            left -= gone;
        }
        sent += static_cast<std::size_t>(n);
        if (sent < mark) continue;
        mark = sent + progress_bytes;
        deadline_ns = deadline_after(silence_s_);
    }
}

wire::Message Connection::receive() {
    try {
        wire::Bytes head(wire::header_bytes);
        read(head.data(), head.size(), "a header");
        if (const std::size_t shape = wire::shape_bytes(head.data())) {
            head.resize(head.size() + shape);
            read(head.data() + wire::header_bytes, shape, "a shape");
        }
        wire::Header header = wire::decode_head(head);
        wire::Message& message = header.message;
        if (message.kind == wire::Kind::tensor && message.type != carries)
            throw Error("sent " + message.type.text() + ", the bundle's link carries " +
                        (carries ? carries->text() : "no tensor"));
        message.payload.resize(header.payload_bytes);
        read(message.payload.data(), message.payload.size(), "frame " + std::to_string(message.frame));
        wire::check_payload(header);
        return std::move(message);
    } catch (const Error& error) {
        throw Error(name + ": " + error.what());
    }
}

void Connection::read(std::uint8_t* to, std::size_t size, const std::string& what) {
    std::uint64_t deadline_ns = deadline_after(silence_s_);
    for (std::size_t got = 0, mark = progress_bytes; got < size;) {
        const auto progress = [&] { return std::to_string(got) + " of " + std::to_string(size) + " bytes"; };
        const ssize_t n = recv(fd(), to + got, size - got, 0);
        if (n < 0 && !would_block()) throw Error("gone: " + reason());
        if (n < 0) {
            if (!wait_for(fd(), POLLIN, deadline_ns, poll_ns))
                throw Error("silent for " + seconds_text(silence_s_) + " while " + what + " was due (" + progress() + ")");
            continue;
        }
        if (n == 0 && got == 0 && what == "a header") throw Error("closed the connection");
        if (n == 0) throw Error("closed the connection in the middle of " + what + ", after " + progress());
        got += static_cast<std::size_t>(n);
        if (got < mark) continue;
        mark = got + progress_bytes;
        deadline_ns = deadline_after(silence_s_);
    }
}

Connection connect_to(const Address& address, const std::string& name, const Allowance& allowance) {
    const Endpoint where = Endpoint::of(address);
    const auto fail = [&](const std::string& why) {
        return Error(address.text() + ": cannot connect to " + name + ": " + why + " (start the aggregator first)");
    };
    Socket socket(::socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) throw fail(reason());
    if (connect(socket.fd(), where.get(), where.size) != 0) {
        if (errno != EINPROGRESS) throw fail(reason());
        if (!wait_for(socket.fd(), POLLOUT, deadline_after(allowance.greeting_s))) throw fail("no answer");
        int status = 0;
        socklen_t size = sizeof status;
        if (getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &status, &size) != 0 || status != 0)
            throw fail(std::strerror(status));
    }
    return Connection(std::move(socket), name, allowance.silence_s);
}

}  // namespace splitkit
