// Who may take part: a server that only answers where it may, and the greeting that every sensor has to pass.
#pragma once

#include <cstdint>
#include <vector>

#include "address.h"
#include "allowance.h"
#include "connection.h"
#include "manifest.h"

namespace splitkit {

// Accepts connections without waiting for them.
class Server {
public:
    // Throws UsageError: others than this machine could connect, which `insecure` permits. Throws Error: the port is taken.
    Server(const Address& address, bool insecure);

    std::uint16_t port() const;
    int fd() const { return socket_.fd(); }

    // Who has connected, and from where; a socket without descriptor (-1) when nobody has.
    Socket accept(Address& from) const;

private:
    Socket socket_;
};

// One connection per view, in order of views. Several peers are greeted at a time, so that a silent one does not hold up
// the others; before it is admitted a peer is read one header. Whoever is no sensor of this bundle is turned away with a
// line on stderr. Throws Error: no further sensor came in time.
std::vector<Connection> gather(const Server& server, const Manifest& manifest, const Allowance& allowance);

}  // namespace splitkit
