// Binds the runner to halves compiled as shared libraries: `--half DIR` names what the `tvm` exporter wrote. Without it
// the half is the identity, for a side that computes nothing. Stands in for half.cpp where one runner serves them all.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "clock.h"
#include "error.h"
#include "files.h"
#include "half.h"
#include "json.h"

namespace splitkit::half {

namespace {

constexpr std::size_t alignment = 64;  // of every buffer: the compiled code relies on it

// The parts of DLPack's and TVM's C interface that calling one function takes.
struct DataType {
    std::uint8_t code, bits;
    std::uint16_t lanes;
};

struct Tensor {
    void* data;
    std::int32_t device_type, device_id;
    std::int32_t rank;
    DataType type;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t offset;
};

struct Any {
    std::int32_t type;
    std::uint32_t padding;
    void* pointer;
};

constexpr std::int32_t cpu = 1, tensor_argument = 7;

using Entry = int (*)(void*, const Any*, std::int32_t, Any*);

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

// An aligned buffer, zero at first, and how the compiled code is told of it.
class Buffer {
public:
    explicit Buffer(const TensorType& type) : shape_(type.shape.begin(), type.shape.end()) {
        const std::size_t size = (type.bytes() + alignment) / alignment * alignment;
        memory_.reset(std::aligned_alloc(alignment, size));
        if (!memory_) throw Error("out of memory: a buffer of " + std::to_string(size) + " bytes");
        std::memset(memory_.get(), 0, size);
        tensor_ = {memory_.get(), cpu, 0, static_cast<std::int32_t>(shape_.size()), code_of(type.dtype),
                   shape_.data(), nullptr, 0};
    }

    void* data() { return memory_.get(); }
    Any argument() { return {tensor_argument, 0, &tensor_}; }

private:
    static DataType code_of(Dtype dtype) {
        switch (dtype) {
            case Dtype::float32: return {2, 32, 1};
            case Dtype::float16: return {2, 16, 1};
            default: return {1, 8, 1};
        }
    }

    std::vector<std::int64_t> shape_;
    std::unique_ptr<void, Free> memory_;
    Tensor tensor_{};
};

// One compiled half, loaded.
struct Library {
    std::unique_ptr<Buffer> in, mask, out, weights, arena;
    std::vector<Any> arguments;
    Entry entry = nullptr;
};

TensorType input_type, output_type, mask_type;
Library library;  // without an entry: the identity

std::string text(const Leaves& leaves, const std::string& name) {
    const auto found = leaves.find(name);
    if (found == leaves.end()) throw Error(name + " is missing");
    return found->second;
}

TensorType type_at(const Leaves& leaves, const std::string& name) {
    TensorType type{dtype_named(text(leaves, name + ".dtype")), {}};
    for (std::size_t i = 0; leaves.count(name + ".shape." + std::to_string(i)); ++i)
        type.shape.push_back(static_cast<std::uint32_t>(std::stoul(text(leaves, name + ".shape." + std::to_string(i)))));
    return type;
}

TensorType bytes_at(const Leaves& leaves, const std::string& name) {
    return {Dtype::uint8, {static_cast<std::uint32_t>(std::stoul(text(leaves, name)))}};
}

Entry entry_of(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* symbol = handle ? dlsym(handle, "__tvm_ffi_run") : nullptr;
    if (!symbol) throw Error(dlerror());
    return reinterpret_cast<Entry>(symbol);
}

void load(const std::string& directory) {
    const std::vector<std::uint8_t> body = read_file(directory + "/artifact.json");
    const Leaves leaves = read_json(std::string(body.begin(), body.end()));
    const bool masked = leaves.count("inputs.1.name") && leaves.at("inputs.1.name") == "present";
    if (leaves.count(masked ? "inputs.2.dtype" : "inputs.1.dtype") || leaves.count("outputs.1.dtype"))
        throw Error("more than one input or output");
    input_type = type_at(leaves, "inputs.0");
    output_type = type_at(leaves, "outputs.0");
    const std::vector<std::uint8_t> weights = read_file(directory + "/weights.bin");
    const TensorType weights_type = bytes_at(leaves, "memory.weight_bytes");
    if (weights.size() != weights_type.bytes()) throw Error("weights.bin is not the one that artifact.json describes");
    library.in = std::make_unique<Buffer>(input_type);
    library.out = std::make_unique<Buffer>(output_type);
    library.weights = std::make_unique<Buffer>(weights_type);
    library.arena = std::make_unique<Buffer>(bytes_at(leaves, "report.arena_bytes"));
    std::memcpy(library.weights->data(), weights.data(), weights.size());
    library.arguments = {library.in->argument()};
    if (masked) {
        mask_type = type_at(leaves, "inputs.1");
        if (mask_type.dtype != Dtype::float32) throw Error("present is " + mask_type.text() + ", not float32");
        library.mask = std::make_unique<Buffer>(mask_type);
        library.arguments.push_back(library.mask->argument());
    }
    for (Buffer* buffer : {library.out.get(), library.weights.get(), library.arena.get()})
        library.arguments.push_back(buffer->argument());
    const std::string file = text(leaves, "report.library");
    if (file.find('/') != std::string::npos) throw Error("report.library: " + file + " is not a file of this directory");
    library.entry = entry_of(directory + "/" + file);
}

}  // namespace

const char* const name = "half";

const TensorType& input() { return input_type; }
const TensorType& output() { return output_type; }
int kernels() { return 0; }  // only the whole is timed
std::size_t mask_elements() { return library.mask ? mask_type.bytes() / sizeof(float) : 0; }

void open(const std::string& directory, const TensorType& type) {
    input_type = output_type = type;
    if (directory.empty()) return;
    try {
        load(directory);
    } catch (const std::exception& error) {
        throw Error(directory + ": " + error.what());
    }
}

void init() {}

std::uint64_t run(const std::uint8_t* in, std::uint8_t* out, const float* mask) {
    if (!library.entry) {
        std::memcpy(out, in, input_type.bytes());
        return 0;
    }
    std::memcpy(library.in->data(), in, input_type.bytes());
    if (library.mask) {
        float* const present = static_cast<float*>(library.mask->data());
        if (mask) std::copy_n(mask, mask_elements(), present);
        else std::fill_n(present, mask_elements(), 1.0f);
    }
    Any result{};
    const std::uint64_t start = now_ns();
    const int status = library.entry(nullptr, library.arguments.data(), static_cast<std::int32_t>(library.arguments.size()), &result);
    const std::uint64_t taken = now_ns() - start;
    if (status != 0) throw Error("the compiled code returned " + std::to_string(status));
    std::memcpy(out, library.out->data(), output_type.bytes());
    return taken;
}

std::vector<std::uint64_t> run_stamped(const std::uint8_t* in, std::uint8_t* out) {
    run(in, out);
    return {now_ns()};
}

}  // namespace splitkit::half

// The compiled code says through this, which TVM's own loader would have provided, why it refuses its arguments.
extern "C" void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, std::int32_t count) {
    std::string message = kind;
    for (std::int32_t i = 0; i < count; ++i) message += (i ? "" : ": ") + std::string(parts[i]);
    std::fprintf(stderr, "%s\n", message.c_str());
}
