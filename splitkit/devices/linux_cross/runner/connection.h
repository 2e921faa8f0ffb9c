// Messages over a TCP socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "address.h"
#include "allowance.h"
#include "wire.h"

namespace splitkit {

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

// One peer. Whoever waits for it waits no longer than it may be silent.
class Connection {
public:
    std::string name;                   // how it is called in errors
    std::uint64_t poll_ns = 0;          // how long to poll for what is due before sleeping on it
    std::optional<TensorType> carries;  // the only tensor it may send, checked before room is made for it

    // The socket does not block from here on.
    Connection(Socket socket, std::string peer, double silence_s);

    int fd() const { return socket_.fd(); }

    // Throws Error: the peer is gone, or takes nothing for longer than it may be silent.
    void send(const wire::Message& message);

    // Both, one after the other, in one system call if the socket takes them. Throws Error, as `send`.
    void write(const std::uint8_t* first, std::size_t first_bytes, const std::uint8_t* second, std::size_t second_bytes);

    // Throws Error: the peer closed, was silent for longer than it may be, or sent something damaged or a tensor that it
    // may not send.
    wire::Message receive();

private:
    void read(std::uint8_t* to, std::size_t size, const std::string& what);

    Socket socket_;
    double silence_s_;
};

// Throws Error: nobody listens there.
Connection connect_to(const Address& address, const std::string& name, const Allowance& allowance);

}  // namespace splitkit
