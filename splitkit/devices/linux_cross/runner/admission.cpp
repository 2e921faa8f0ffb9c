#include "admission.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <optional>

#include "arguments.h"
#include "clock.h"
#include "error.h"

namespace splitkit {

namespace {

using wire::Kind;
using wire::Message;

// How many peers, beside those that are missing, may be in the middle of their greeting; then the eldest is dropped.
constexpr std::size_t most_strangers = 16;

// A sensor that has lost its power sends no goodbye; the system asks after it this often, and twice more.
constexpr int keepalive_s = 10;

void say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

void keep_alive(int fd) {
    const int on = 1, count = 2;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof keepalive_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &keepalive_s, sizeof keepalive_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

// A peer that has connected and not yet said who it is.
struct Greeting {
    Socket socket;
    std::string where;
    std::uint64_t until_ns;
    wire::Bytes head;

    // Takes what there is; the HELLO once it is whole. Throws Error: it said something else, or is gone.
    std::optional<Message> advance() {
        while (head.size() < wire::header_bytes) {
            std::uint8_t buffer[wire::header_bytes];
            const ssize_t n = recv(socket.fd(), buffer, wire::header_bytes - head.size(), MSG_DONTWAIT);
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return std::nullopt;
            if (n < 0) throw Error(std::strerror(errno));
            if (n == 0)
                throw Error("closed the connection after " + std::to_string(head.size()) + " of " +
                            std::to_string(wire::header_bytes) + " bytes of a greeting");
            head.insert(head.end(), buffer, buffer + n);
            if (!wire::may_begin(head)) throw Error("does not speak splitkit's protocol");
        }
        if (wire::shape_bytes(head.data()) != 0) throw Error("sent a tensor where HELLO was due");
        Message hello = wire::decode_head(head).message;
        if (hello.kind != Kind::hello) throw Error(std::string("sent ") + name_of(hello.kind) + " where HELLO was due");
        return hello;
    }
};

class Gathering {
public:
    Gathering(const Server& server, const Manifest& manifest, const Allowance& allowance)
        : server_(server), manifest_(manifest), allowance_(allowance) {}

    std::vector<Connection> run() {
        std::uint64_t until_ns = deadline_after(allowance_.coming_s);
        for (std::size_t present = 0; admitted_.size() < manifest_.views;) {
            if (admitted_.size() > present) until_ns = deadline_after(allowance_.coming_s);
            present = admitted_.size();
            drop_late();
            if (now_ns() >= until_ns) give_up();
            wait(until_ns);
        }
        std::vector<Connection> sensors;
        for (auto& [view, sensor] : admitted_) sensors.push_back(std::move(sensor));
        return sensors;
    }

private:
    // Waits until something happens or the next deadline has come, and does what is to be done.
    void wait(std::uint64_t until_ns) {
        std::vector<pollfd> polled{{server_.fd(), POLLIN, 0}};
        for (const Greeting& greeting : greetings_) {
            polled.push_back({greeting.socket.fd(), POLLIN, 0});
            until_ns = std::min(until_ns, greeting.until_ns);
        }
        for (const auto& [view, sensor] : admitted_) polled.push_back({sensor.fd(), POLLIN, 0});
        const std::uint64_t now = now_ns();
        const std::uint64_t left_ms = until_ns <= now ? 0 : std::min<std::uint64_t>((until_ns - now) / 1000000u, 1000000u) + 1;
        if (poll(polled.data(), polled.size(), static_cast<int>(left_ms)) < 0) {
            if (errno == EINTR) return;
            throw Error(std::string("poll: ") + std::strerror(errno));
        }
        auto ready = polled.begin();
        const bool knocked = (ready++)->revents != 0;
        for (auto greeting = greetings_.begin(); greeting != greetings_.end();) {
            const auto current = greeting++;  // which may be dropped
            if ((ready++)->revents) greet(current);
        }
        // Who is admitted just now was not polled: nothing can be said of it yet.
        for (; ready != polled.end(); ++ready)
            if (ready->revents) watch(ready->fd);
        if (knocked) accept();
    }

    void accept() {
        Address from;
        Socket peer = server_.accept(from);
        if (peer.fd() < 0) return;
        if (greetings_.size() >= most_strangers + manifest_.views)
            drop(greetings_.begin(), "gave way to a newer connection without having said who it is");
        greetings_.push_back({std::move(peer), from.text(), deadline_after(allowance_.greeting_s), {}});
    }

    void greet(std::list<Greeting>::iterator greeting) {
        try {
            if (const auto hello = greeting->advance()) admit(greeting, *hello);
        } catch (const Error& error) {
            drop(greeting, error.what());
        }
    }

    // Throws Error: it was refused, and told so.
    void admit(std::list<Greeting>::iterator greeting, const Message& hello) {
        const std::string refusal = refusal_of(hello);
        Message answer;
        answer.kind = refusal.empty() ? Kind::welcome : Kind::refuse;
        answer.bundle = manifest_.bundle;
        answer.view = hello.view;
        const wire::Bytes head = wire::encode_head(answer);
        if (::send(greeting->socket.fd(), head.data(), head.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && refusal.empty())
            throw Error(std::strerror(errno));
        if (!refusal.empty()) throw Error(refusal);
        keep_alive(greeting->socket.fd());
        const std::string name = "view " + std::to_string(hello.view);
        auto& sensor = admitted_.emplace(hello.view, Connection(std::move(greeting->socket), name, allowance_.silence_s))
                           .first->second;
        sensor.carries = manifest_.link;
        greetings_.erase(greeting);
    }

    // Why a sensor cannot be admitted; empty if it can.
    std::string refusal_of(const Message& hello) const {
        const std::string view = "view " + std::to_string(hello.view);
        if (hello.bundle != manifest_.bundle)
            return view + " runs bundle " + wire::hex(hello.bundle) + ", this aggregator bundle " +
                   wire::hex(manifest_.bundle) + " (both sides need the same export)";
        if (hello.view >= manifest_.views)
            return view + " does not exist: the bundle has " + std::to_string(manifest_.views);
        return admitted_.count(hello.view) ? view + " is connected already" : "";
    }

    // An admitted sensor has nothing to say before the first frame: it went away, or is none.
    void watch(int fd) {
        const auto found = std::find_if(admitted_.begin(), admitted_.end(), [&](auto& each) { return each.second.fd() == fd; });
        if (found == admitted_.end()) return;
        char byte;
        const ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
        say(found->second.name + (n > 0 ? " spoke before it was asked" : " went away") +
            " before the first frame: waiting for it again");
        admitted_.erase(found);
    }

    void drop_late() {
        for (auto greeting = greetings_.begin(); greeting != greetings_.end();) {
            const auto current = greeting++;
            if (current->until_ns <= now_ns())
                drop(current, "did not say who it is within " + seconds_text(allowance_.greeting_s));
        }
    }

    void drop(std::list<Greeting>::iterator greeting, const std::string& why) {
        // Bytes left unread would reset the connection, and our answer be lost with it.
        char rest[4096];
        while (recv(greeting->socket.fd(), rest, sizeof rest, MSG_DONTWAIT) == sizeof rest) continue;
        last_refusal_ = greeting->where + ": " + why;
        say(greeting->where + " was turned away: " + why);
        greetings_.erase(greeting);
    }

    [[noreturn]] void give_up() const {
        std::uint32_t missing = 0;
        while (admitted_.count(missing)) ++missing;
        throw Error("view " + std::to_string(missing) + " did not connect within " + seconds_text(allowance_.coming_s) +
                    (last_refusal_.empty() ? "" : "; turned away last: " + last_refusal_));
    }

    const Server& server_;
    const Manifest& manifest_;
    const Allowance& allowance_;
    std::list<Greeting> greetings_;
    std::map<std::uint32_t, Connection> admitted_;
    std::string last_refusal_;
};

}  // namespace

Server::Server(const Address& address, bool insecure) {
    Endpoint where = Endpoint::of(address);
    if (!insecure && !where.loopback())
        throw UsageError{address.text() + ": whoever reaches this address can take a sensor's place (listen on this "
                         "machine behind a tunnel, see docs/wire.md, or say --insecure if you trust everybody there)"};
    socket_ = Socket(::socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (where.storage.ss_family == AF_INET6) setsockopt(fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (fd() < 0 || bind(fd(), where.get(), where.size) != 0 || listen(fd(), 64) != 0)
        throw Error(address.text() + ": cannot listen: " + std::strerror(errno));
}

std::uint16_t Server::port() const {
    Endpoint where;
    where.size = sizeof where.storage;
    getsockname(fd(), where.get(), &where.size);
    return where.address().port;
}

Socket Server::accept(Address& from) const {
    Endpoint where;
    where.size = sizeof where.storage;
    const int peer = accept4(fd(), where.get(), &where.size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        throw Error(std::string("cannot accept connections: ") + std::strerror(errno));
    from = where.address();
    return Socket(peer);
}

std::vector<Connection> gather(const Server& server, const Manifest& manifest, const Allowance& allowance) {
    return Gathering(server, manifest, allowance).run();
}

}  // namespace splitkit
