// The aggregator: calls for frames one at a time, receives every view, finishes the network.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "admission.h"
#include "arguments.h"
#include "clock.h"
#include "connection.h"
#include "error.h"
#include "half.h"
#include "manifest.h"
#include "placement.h"
#include "programs.h"
#include "stage.h"

namespace splitkit {

namespace {

using wire::Bytes;
using wire::Kind;
using wire::Message;

constexpr std::uint64_t lead_ns = 250000;  // how far ahead a capture is ordered, so that all views are of one moment

struct Record {
    std::uint32_t frame = 0;
    std::vector<std::uint64_t> captured_ns, sent_ns;  // per view, the sensor's clock
    std::uint64_t received_ns = 0, result_ns = 0;
    std::vector<float> scores;
};

// One view's tensor of this frame. That it is of the bundle's dtype and shape the connection has seen to.
Message receive(Connection& sensor, std::uint32_t view, std::uint32_t frame, const Manifest& manifest) {
    Message message = sensor.receive();
    if (message.kind != Kind::tensor || message.frame != frame || message.view != view)
        throw Error(sensor.name + ": sent " + name_of(message.kind) + " " + std::to_string(message.frame) + " of view " +
                    std::to_string(message.view) + " where frame " + std::to_string(frame) + " was due");
    if (message.bundle != manifest.bundle) throw Error(sensor.name + ": sent a frame of another bundle");
    return message;
}

Record run_frame(std::uint32_t frame, std::vector<Connection>& sensors, const Manifest& manifest,
                 const Stage& stage) {
    Message order;
    order.kind = Kind::capture;
    order.bundle = manifest.bundle;
    order.frame = frame;
    order.captured_ns = now_ns() + lead_ns;
    for (std::uint32_t view = 0; view < sensors.size(); ++view) {
        order.view = static_cast<std::uint16_t>(view);
        sensors[view].send(order);
    }
    Record record;
    record.frame = frame;
    Bytes received;
    for (std::uint32_t view = 0; view < sensors.size(); ++view) {
        const Message tensor = receive(sensors[view], view, frame, manifest);
        record.captured_ns.push_back(tensor.captured_ns);
        record.sent_ns.push_back(tensor.sent_ns);
        received.insert(received.end(), tensor.payload.begin(), tensor.payload.end());
    }
    record.received_ns = now_ns();
    record.scores.resize(half::output().bytes() / sizeof(float));
    record.result_ns =
        stage.run(received.data(), reinterpret_cast<std::uint8_t*>(record.scores.data()), record.received_ns);
    return record;
}

void print_list(std::FILE* to, const char* name, const std::vector<std::uint64_t>& values) {
    std::fprintf(to, "\"%s\": [", name);
    for (std::size_t i = 0; i < values.size(); ++i) std::fprintf(to, "%s%" PRIu64, i ? ", " : "", values[i]);
    std::fprintf(to, "], ");
}

// Whether a file begins as records do, those of the Python program too; an empty one has nothing to lose.
bool begins_like_records(const std::string& path) {
    std::string head(16, ' ');
    std::FILE* file = std::fopen(path.c_str(), "r");
    if (!file) return false;
    head.resize(std::fread(&head[0], 1, head.size(), file));
    std::fclose(file);
    head.erase(std::remove(head.begin(), head.end(), '\n'), head.end());
    return head.empty() || head.compare(0, 11, "[{\"frame\": ") == 0;
}

// Found out before the run, not when its records are to be written: no such directory, or another file is there.
void check_records(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    struct stat found;
    if (stat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode))
        throw UsageError{"--records: " + folder + ": there is no such directory"};
    if (lstat(path.c_str(), &found) == 0 && !(S_ISREG(found.st_mode) && begins_like_records(path)))
        throw UsageError{path + ": exists, and splitkit did not write it (nothing was touched: choose another name)"};
}

void write_records(const std::string& path, const std::vector<Record>& records) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (!file) throw Error(path + ": cannot be written: " + std::strerror(errno));
    std::fputs("[", file);
    for (const Record& record : records) {
        std::fprintf(file, "%s\n{\"frame\": %" PRIu32 ", ", &record == records.data() ? "" : ",", record.frame);
        print_list(file, "captured_ns", record.captured_ns);
        print_list(file, "sent_ns", record.sent_ns);
        std::fprintf(file, "\"received_ns\": %" PRIu64 ", \"result_ns\": %" PRIu64 ", \"scores\": [",
                     record.received_ns, record.result_ns);
        for (std::size_t i = 0; i < record.scores.size(); ++i) {
            std::fputs(i ? ", " : "", file);
            if (std::isfinite(record.scores[i])) std::fprintf(file, "%.9g", static_cast<double>(record.scores[i]));
            else std::fputs("null", file);  // JSON has no word for the others
        }
        std::fputs("], \"missing\": []}", file);  // of its views: this program runs whole frames
    }
    std::fputs("\n]\n", file);
    const bool failed = std::ferror(file) != 0;  // on a full disk the last piece may fit, and others not
    if (std::fclose(file) != 0 || failed) throw Error(path + ": cannot be written: " + std::strerror(errno));
}

void print_records(const std::vector<Record>& records) {
    for (const Record& record : records) {
        const bool found = std::all_of(record.scores.begin(), record.scores.end(), [](float s) { return std::isfinite(s); });
        const auto best = std::max_element(record.scores.begin(), record.scores.end()) - record.scores.begin();
        const std::string name = found ? "class " + std::to_string(best) : "no class (a score is not finite)";
        const std::uint64_t start = *std::min_element(record.captured_ns.begin(), record.captured_ns.end());
        std::printf("frame %" PRIu32 ": %s, %.0f us\n", record.frame, name.c_str(),
                    (static_cast<double>(record.result_ns) - static_cast<double>(start)) / 1e3);
    }
}

void check_half(const Manifest& manifest) {
    const bool takes = half::input().dtype == manifest.link.dtype &&
                       half::input().bytes() == manifest.views * manifest.link.bytes();
    if (!takes || half::output().dtype != Dtype::float32)
        throw Error("this half takes " + half::input().text() + ", the manifest's link carries " +
                    std::to_string(manifest.views) + " of " + manifest.link.text() +
                    " (is it the aggregator's half of that bundle?)");
}

}  // namespace

void aggregator_program(int argc, char** argv) {
    const Arguments arguments(argc, argv, {"--manifest", "--listen", "--frames", "--records", "--timeout", "--half",
                                           "--time-scale", "--cpus", "--spin-us", "--poll-us"},
                              {"--insecure"});
    const Address listen = parse_address(arguments.text("--listen", "127.0.0.1:4747"), true);
    const long frames = arguments.integer("--frames", 16, 1, 1000000000);
    const double timeout_s = static_cast<double>(arguments.integer("--timeout", 30, 1, 86400));
    const std::string path = arguments.text("--records", "");
    if (!path.empty()) check_records(path);
    const Manifest manifest = read_manifest(arguments.text("--manifest"));
    take_processors(arguments);
    TensorType arriving = manifest.link;  // of all views, one after the other
    if (!arriving.shape.empty()) arriving.shape[0] *= manifest.views;
    half::open(arguments.text("--half", ""), arriving);
    check_half(manifest);
    half::init();
    const Patience patience = patience_of(arguments);
    const Stage stage(arguments, patience);
    std::vector<Connection> sensors;
    {
        const Server server(listen, arguments.has("--insecure"));
        std::printf("listening on %s\n", Address{listen.host, server.port()}.text().c_str());
        std::fflush(stdout);
        sensors = gather(server, manifest, Allowance::of(manifest, timeout_s));
    }
    for (Connection& sensor : sensors) sensor.poll_ns = patience.poll_ns;
    std::vector<Record> records;
    {
        const Undisturbed undisturbed(arguments);
        for (long frame = 0; frame < frames; ++frame)
            records.push_back(run_frame(static_cast<std::uint32_t>(frame), sensors, manifest, stage));
    }
    Message end;
    end.bundle = manifest.bundle;
    for (std::uint32_t view = 0; view < sensors.size(); ++view) {
        end.view = static_cast<std::uint16_t>(view);
        try {
            sensors[view].send(end);
        } catch (const Error&) {  // who is gone by now need not be told; the records are whole
        }
    }
    if (path.empty()) print_records(records);
    else write_records(path, records);
}

}  // namespace splitkit
