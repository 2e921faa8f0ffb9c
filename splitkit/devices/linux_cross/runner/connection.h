// Messages over a TCP socket.
#pragma once

#include <cstdint>
#include <string>

#include "wire.h"

namespace splitkit {

struct Address {
    std::string host;  // numeric IPv4, or localhost
    std::uint16_t port = 0;

    std::string text() const { return host + ":" + std::to_string(port); }
};

// Throws Error: not HOST:PORT.
Address parse_address(const std::string& text);

// A socket that is closed when it goes out of scope.
class Socket {
public:
    explicit Socket(int fd = -1) : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    Socket& operator=(Socket&& other) noexcept;
    ~Socket();
    int fd() const { return fd_; }

private:
    int fd_;
};

// One peer. `name` is how it is called in errors.
class Connection {
public:
    std::string name;
    std::uint64_t poll_ns = 0;  // how long to poll for what is due before sleeping on it

    Connection(Socket socket, std::string peer, double timeout_s);

    // Throws Error: the peer is gone.
    void send(const wire::Message& message);

    // Both, one after the other, in one system call if the socket takes them. Throws Error: the peer is gone.
    void write(const std::uint8_t* first, std::size_t first_bytes, const std::uint8_t* second, std::size_t second_bytes);

    // Throws Error: the peer closed, stayed silent for longer than the timeout, or sent something damaged.
    wire::Message receive();

private:
    void read(std::uint8_t* to, std::size_t size, const std::string& what, std::uint64_t deadline_ns);

    Socket socket_;
    double timeout_s_;
};

// Throws Error: nobody listens there.
Connection connect_to(const Address& address, const std::string& name, double timeout_s);

// Accepts connections. Throws Error: the port is taken.
class Server {
public:
    explicit Server(const Address& address);
    std::uint16_t port() const;
    // Waits for a peer until `deadline_ns`; a socket without descriptor (-1) when none came.
    Socket accept(std::uint64_t deadline_ns);

private:
    Socket socket_;
};

}  // namespace splitkit
