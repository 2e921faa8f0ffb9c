// The runner's aggregator: a damaged sensor connects, then a good one; whichever is admitted is asked for frames.
#include "aggregator.cpp"  // what is fuzzed has no other door

#include "streams.h"

namespace {

splitkit::Socket connected(std::uint16_t port) {
    const splitkit::Endpoint where = splitkit::Endpoint::of({"127.0.0.1", port});
    splitkit::Socket peer(socket(AF_INET, SOCK_STREAM, 0));
    const linger at_once{1, 0};  // reset at the end, or the machine would run out of ports
    setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (connect(peer.fd(), where.get(), where.size) != 0) throw std::runtime_error("connect");
    return peer;
}

// The good one is there, whatever the other does: anything else ends this program.
std::vector<splitkit::Connection> gathered(const splitkit::Server& server, const splitkit::Manifest& manifest) {
    try {
        return splitkit::gather(server, manifest, {0.02, 1.0, 2.0});
    } catch (const splitkit::Error& error) {
        throw std::logic_error(error.what());
    }
}

}  // namespace

int main(int, char** argv) {
    using namespace splitkit;
    const Manifest manifest = fuzzed_manifest();
    half::open("", manifest.link);
    half::init();
    const Arguments none(0, nullptr, {});
    const Stage stage(none, patience_of(none));
    const Server server(Address{"127.0.0.1", 0}, false);
    Message hello;
    hello.kind = Kind::hello;
    hello.bundle = manifest.bundle;
    const Stream greeting = wire::encode_head(hello);
    return for_each_stream(argv[1], [&](const Stream& stream) {
        const Socket peer = connected(server.port()), good = connected(server.port());
        deliver(peer.fd(), stream);
        deliver(good.fd(), greeting);
        std::vector<Connection> sensors = gathered(server, manifest);
        Address from;
        while (server.accept(from).fd() >= 0) continue;  // the good one, where it was not needed
        for (std::uint32_t frame = 0; frame < 3; ++frame) run_frame(frame, sensors, manifest, stage);
    });
}
