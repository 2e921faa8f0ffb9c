// The sensor: waits for the aggregator's word, takes the image, computes, sends.
#include <cstdio>

#include "arguments.h"
#include "clock.h"
#include "connection.h"
#include "error.h"
#include "files.h"
#include "half.h"
#include "manifest.h"
#include "placement.h"
#include "programs.h"
#include "shaper.h"
#include "stage.h"

namespace splitkit {

namespace {

using wire::Bytes;
using wire::Kind;
using wire::Message;

constexpr std::uint64_t farthest_ns = 1000000000;  // an order for later than this was given by another clock
constexpr std::uint64_t latest_ns = 1000000;       // so was one for earlier than this ago

// Frames of one view, over and over.
class Images {
public:
    Images(const std::string& path, std::size_t frame_bytes) : content_(read_file(path)), frame_bytes_(frame_bytes) {
        if (content_.empty() || content_.size() % frame_bytes != 0)
            throw Error(path + ": " + std::to_string(content_.size()) + " bytes are not frames of " +
                        std::to_string(frame_bytes) + " bytes");
    }

    const std::uint8_t* frame(std::uint32_t number) const {
        return content_.data() + number % (content_.size() / frame_bytes_) * frame_bytes_;
    }

private:
    Bytes content_;
    std::size_t frame_bytes_;
};

Error unexpected(const Message& message, const char* due) {
    return Error(std::string("the aggregator sent ") + name_of(message.kind) + " for view " + std::to_string(message.view) +
                 " where " + due + " was due");
}

void greet(Connection& aggregator, const Manifest& manifest, std::uint16_t view) {
    Message hello;
    hello.kind = Kind::hello;
    hello.bundle = manifest.bundle;
    hello.view = view;
    aggregator.send(hello);
    const Message answer = aggregator.receive();
    if (answer.bundle != manifest.bundle)
        throw Error("the aggregator runs bundle " + wire::hex(answer.bundle) + ", this sensor bundle " +
                    wire::hex(manifest.bundle) + " (both sides need the same export)");
    if (answer.kind == Kind::refuse) throw Error("the aggregator refuses view " + std::to_string(view));
    if (answer.kind != Kind::welcome || answer.view != view) throw unexpected(answer, "WELCOME");
}

// As ordered, if that lies just ahead on this clock; else now.
std::uint64_t capture_time(std::uint64_t ordered_ns) {
    const std::uint64_t now = now_ns();
    return now <= ordered_ns + latest_ns && ordered_ns <= now + farthest_ns ? ordered_ns : now;
}

void serve(Connection& aggregator, const Manifest& manifest, const Images& images, std::uint16_t view, const Stage& stage,
           ShapedLink& link, const Patience& patience) {
    Message tensor;
    tensor.kind = Kind::tensor;
    tensor.bundle = manifest.bundle;
    tensor.view = view;
    tensor.type = manifest.link;
    tensor.scale = manifest.scale;
    tensor.zero_point = manifest.zero_point;
    tensor.payload.resize(manifest.link.bytes());
    for (;;) {
        const Message order = aggregator.receive();
        if (order.bundle != manifest.bundle) throw Error("the aggregator sent an order for another bundle");
        if (order.kind == Kind::end) return;
        if (order.kind != Kind::capture || order.view != view) throw unexpected(order, "CAPTURE or END");
        tensor.frame = order.frame;
        tensor.captured_ns = capture_time(order.captured_ns);
        patience.wait_until(tensor.captured_ns);
        tensor.sent_ns = stage.run(images.frame(order.frame), tensor.payload.data(), tensor.captured_ns);
        link.send(aggregator, tensor, tensor.sent_ns);
    }
}

}  // namespace

void sensor_program(int argc, char** argv) {
    const Arguments arguments(argc, argv, {"--manifest", "--images", "--connect", "--view", "--timeout", "--half",
                                           "--time-scale", "--lasting-us", "--link-overhead-us", "--link-bytes-per-s",
                                           "--shared-link", "--cpus", "--spin-us", "--poll-us"});
    const auto view = static_cast<std::uint16_t>(arguments.integer("--view", 0, 0, 65535));
    const Address connect = parse_address(arguments.text("--connect"), false);
    const double timeout_s = static_cast<double>(arguments.integer("--timeout", 30, 1, 86400));
    const Manifest manifest = read_manifest(arguments.text("--manifest"));
    take_processors(arguments);
    half::open(arguments.text("--half", ""), manifest.link);
    if (half::output() != manifest.link)
        throw Error("this half gives " + half::output().text() + ", the manifest's link carries " +
                    manifest.link.text() + " (is it the sensor's half of that bundle?)");
    const Images images(arguments.text("--images"), half::input().bytes());
    half::init();
    const Patience patience = patience_of(arguments);
    const Stage stage(arguments, patience);
    ShapedLink link(arguments, patience);
    const double patience_s = manifest.views * timeout_s;  // the aggregator may be waiting so long for the other sensors
    Connection aggregator = connect_to(connect, "the aggregator", Allowance::of(manifest, patience_s));
    aggregator.poll_ns = patience.poll_ns;
    greet(aggregator, manifest, view);
    const Undisturbed undisturbed(arguments);
    serve(aggregator, manifest, images, view, stage, link, patience);
}

}  // namespace splitkit
