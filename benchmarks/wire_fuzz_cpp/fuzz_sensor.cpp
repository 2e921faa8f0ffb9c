// The runner's sensor, answered by a damaged aggregator.
#include "sensor.cpp"  // what is fuzzed has no other door

#include "streams.h"

int main(int, char** argv) {
    using namespace splitkit;
    const Manifest manifest = fuzzed_manifest();
    half::open("", manifest.link);
    half::init();
    const std::string images_path = std::string(argv[1]) + ".images";
    std::FILE* images_file = std::fopen(images_path.c_str(), "wb");
    const Stream images_bytes(4 * manifest.link.bytes());
    std::fwrite(images_bytes.data(), 1, images_bytes.size(), images_file);
    std::fclose(images_file);
    const Images images(images_path, half::input().bytes());
    const Arguments none(0, nullptr, {});
    const Patience patience = patience_of(none);
    const Stage stage(none, patience);
    return for_each_stream(argv[1], [&](const Stream& stream) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) throw std::runtime_error("socketpair");
        const Socket theirs(ends[1]);
        Connection aggregator(Socket(ends[0]), "the aggregator", 0.02);
        deliver(theirs.fd(), stream);
        ShapedLink link(none, patience);
        greet(aggregator, manifest, 0);
        serve(aggregator, manifest, images, 0, stage, link, patience);
    });
}
