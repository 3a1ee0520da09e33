// AXI4-Stream harness around a Verilated `nn2rtl_core`: feeds a file of input beats, collects the
// output beats, stamps every transfer with its cycle and watches the protocol.
//
// Arguments are key=value; files are raw little-endian arrays. Exit status: 0 done, 2 usage or
// file error, 3 AXI4-Stream protocol violated, 4 no progress, 5 more output than expected; on
// failure one line on stderr says why. Lines "P <beats in> <beats out> <cycle>" on stdout report
// progress.

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vnn2rtl_core.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

enum Status { kUsage = 2, kProtocol = 3, kStalled = 4, kExtra = 5 };

struct Failure {
    Status status;
    std::string text;
};

[[noreturn]] void fail(Status status, const std::string& text) { throw Failure{status, text}; }

class Args {
  public:
    Args(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string arg = argv[i];
            const size_t equals = arg.find('=');
            if (equals == std::string::npos) fail(kUsage, "not key=value: " + arg);
            values_[arg.substr(0, equals)] = arg.substr(equals + 1);
        }
    }
    std::string text(const std::string& key) const {
        const auto found = values_.find(key);
        if (found == values_.end()) fail(kUsage, "missing argument " + key);
        return found->second;
    }
    uint64_t number(const std::string& key) const { return std::stoull(text(key)); }
    double real(const std::string& key) const { return std::stod(text(key)); }

  private:
    std::map<std::string, std::string> values_;
};

class Random {  // splitmix64
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    bool chance(double p) { return static_cast<double>(next() >> 11) * 0x1p-53 < p; }
    void fill(uint8_t* bytes, size_t count) {
        for (size_t i = 0; i < count; i += 8) {
            const uint64_t word = next();
            std::memcpy(bytes + i, &word, count - i < 8 ? count - i : 8);
        }
    }

  private:
    uint64_t state_;
};

std::vector<uint8_t> read_file(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) fail(kUsage, "cannot read " + path);
    std::vector<uint8_t> bytes;
    std::vector<uint8_t> block(1 << 20);
    for (size_t got; (got = std::fread(block.data(), 1, block.size(), file)) > 0;)
        bytes.insert(bytes.end(), block.begin(), block.begin() + static_cast<long>(got));
    std::fclose(file);
    return bytes;
}

template <typename T>
void write_file(const std::string& path, const std::vector<T>& items) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file) fail(kUsage, "cannot write " + path);
    const size_t done = std::fwrite(items.data(), sizeof(T), items.size(), file);
    if (std::fclose(file) != 0 || done != items.size()) fail(kUsage, "cannot write " + path);
}

class Bench {
  public:
    explicit Bench(const Args& args)
        : args_(args),
          in_bytes_(args.number("in_bytes")),
          out_bytes_(args.number("out_bytes")),
          idle_(args.real("idle")),
          backpressure_(args.real("backpressure")),
          in_per_inference_(args.number("in_per_inference")),
          gap_(args.number("gap")),
          max_idle_cycles_(args.number("max_idle_cycles")),
          source_random_(3 * args.number("seed") + 1),
          sink_random_(3 * args.number("seed") + 2),
          garbage_random_(3 * args.number("seed") + 3) {
        context_.randReset(2);  // registers without an initial value start at random
        context_.randSeed(static_cast<int>(args.number("seed") % 0x7fffffff) + 1);  // 0: from time
#if VM_TRACE
        context_.traceEverOn(true);
#endif
        top_ = std::make_unique<Vnn2rtl_core>(&context_);
        if (in_bytes_ > sizeof(top_->s_axis_tdata) || out_bytes_ > sizeof(top_->m_axis_tdata))
            fail(kUsage, "a beat is wider than its port");
        // Ports of less than a word keep bits above their width zero: only in_bytes are written.
        std::memset(&top_->s_axis_tdata, 0, sizeof(top_->s_axis_tdata));
#if VM_TRACE
        if (!args.text("waves").empty()) {
            trace_ = std::make_unique<VerilatedVcdC>();
            top_->trace(trace_.get(), 99);
            trace_->open(args.text("waves").c_str());
            if (!trace_->isOpen()) fail(kUsage, "cannot write " + args.text("waves"));
        }
#endif
    }

    ~Bench() {
        top_->final();
#if VM_TRACE
        if (trace_) trace_->close();
#endif
    }

    // Three cycles of reset, in which neither side offers anything.
    void reset() {
        top_->rst = 1;
        for (int i = 0; i < 3; ++i) {
            top_->s_axis_tvalid = 0;
            drive_garbage();
            top_->m_axis_tready = 0;
            low_half();
            high_half();
        }
        top_->rst = 0;
        offering_ = held_ = false;
        sent_ = received_ = cycle_ = stalled_ = wait_ = 0;
    }

    // Feed garbage and stop in the middle, so that the following reset has something to clear.
    void rehearse(uint64_t beats) {
        std::vector<uint8_t> data(beats * in_bytes_);
        garbage_random_.fill(data.data(), data.size());
        while (sent_ < beats) cycle(data, beats);
    }

    void run() {
        const std::vector<uint8_t> data = read_file(args_.text("in"));
        const uint64_t n_in = data.size() / in_bytes_;
        const uint64_t n_out = args_.number("out_beats");
        const bool report = args_.number("progress") != 0;
        record_ = true;
        expected_ = n_out;
        outputs_.reserve(n_out * out_bytes_);
        auto reported = std::chrono::steady_clock::now();
        while (sent_ < n_in || received_ < n_out) {
            cycle(data, n_in);
            if (!report || cycle_ % 256 != 0) continue;
            const auto now = std::chrono::steady_clock::now();
            if (now - reported < std::chrono::milliseconds(200)) continue;
            reported = now;
            print_progress();
        }
        if (report) print_progress();
        for (uint64_t left = args_.number("drain"); left > 0; --left) cycle(data, n_in);
        write_file(args_.text("out"), outputs_);
        write_file(args_.text("in_cycles"), in_cycles_);
        write_file(args_.text("out_cycles"), out_cycles_);
        write_file(args_.text("last"), last_);
    }

  private:
    void low_half() {
        top_->clk = 0;
        top_->eval();
        dump();
    }

    void high_half() {
        top_->clk = 1;
        top_->eval();
        dump();
    }

    void dump() {
#if VM_TRACE
        if (trace_) trace_->dump(context_.time());
#endif
        context_.timeInc(1);
    }

    void drive_garbage() {
        uint8_t* const tdata = reinterpret_cast<uint8_t*>(&top_->s_axis_tdata);
        garbage_random_.fill(tdata, in_bytes_);
        top_->s_axis_tlast = garbage_random_.next() & 1;
    }

    // One cycle: drive both sides, sample the handshakes before the rising edge, then clock.
    void cycle(const std::vector<uint8_t>& data, uint64_t n_in) {
        if (wait_ > 0) {
            --wait_;
        } else if (!offering_ && sent_ < n_in && !source_random_.chance(idle_)) {
            offering_ = true;
        }
        top_->s_axis_tvalid = offering_;
        if (offering_) {
            std::memcpy(&top_->s_axis_tdata, data.data() + sent_ * in_bytes_, in_bytes_);
            top_->s_axis_tlast = (sent_ + 1) % in_per_inference_ == 0;
        } else {
            drive_garbage();
        }
        const bool ready = !sink_random_.chance(backpressure_);
        top_->m_axis_tready = ready;
        low_half();
        const bool taken = offering_ && top_->s_axis_tready;
        const bool valid = top_->m_axis_tvalid;
        const bool offered = offering_ || sent_ == n_in;
        if (valid || held_) check_output(valid, ready);
        if (taken) {
            if (record_) in_cycles_.push_back(static_cast<int64_t>(cycle_));
            offering_ = false;
            if (++sent_ % in_per_inference_ == 0) wait_ = gap_;
        }
        if (taken || (valid && ready)) {
            stalled_ = 0;
        } else if (offered && ready && !(sent_ == n_in && received_ == expected_)) {
            if (++stalled_ >= max_idle_cycles_) report_stall(n_in);
        }
        high_half();
        ++cycle_;
    }

    void check_output(bool valid, bool ready) {
        const uint8_t* const tdata = reinterpret_cast<const uint8_t*>(&top_->m_axis_tdata);
        const bool last = top_->m_axis_tlast;
        const std::string when = " in cycle " + std::to_string(cycle_);
        if (held_) {
            if (!valid) fail(kProtocol, "m_axis_tvalid fell before the beat was taken" + when);
            if (std::memcmp(held_data_.data(), tdata, out_bytes_) != 0)
                fail(kProtocol, "m_axis_tdata changed before the beat was taken" + when);
            if (last != held_last_)
                fail(kProtocol, "m_axis_tlast changed before the beat was taken" + when);
        }
        if (record_ && received_ == expected_)
            fail(kExtra, "the design offers more than the expected " + std::to_string(expected_) +
                             " output beats" + when);
        held_ = !ready;
        if (held_) {
            held_data_.assign(tdata, tdata + out_bytes_);
            held_last_ = last;
            return;
        }
        ++received_;
        if (!record_) return;
        outputs_.insert(outputs_.end(), tdata, tdata + out_bytes_);
        out_cycles_.push_back(static_cast<int64_t>(cycle_));
        last_.push_back(last);
    }

    [[noreturn]] void report_stall(uint64_t n_in) {
        std::string text = record_ ? "" : "before the reset that was asked for: ";
        text += "no beat was transferred for " + std::to_string(max_idle_cycles_) + " cycles: " +
                std::to_string(sent_) + " of " + std::to_string(n_in) + " input beats taken, " +
                std::to_string(received_);
        if (record_) text += " of " + std::to_string(expected_);
        text += " output beats received by cycle " + std::to_string(cycle_);
        text += top_->s_axis_tready ? "; s_axis_tready is high" : "; s_axis_tready is low";
        fail(kStalled, text);
    }

    void print_progress() const {
        std::printf("P %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sent_, received_, cycle_);
        std::fflush(stdout);
    }

    const Args& args_;
    const uint64_t in_bytes_, out_bytes_;
    const double idle_, backpressure_;
    const uint64_t in_per_inference_, gap_, max_idle_cycles_;
    Random source_random_, sink_random_, garbage_random_;
    VerilatedContext context_;
    std::unique_ptr<Vnn2rtl_core> top_;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
    uint64_t sent_ = 0, received_ = 0, expected_ = 0, cycle_ = 0, stalled_ = 0, wait_ = 0;
    bool offering_ = false, record_ = false;
    bool held_ = false, held_last_ = false;  // an output beat that was offered and not taken
    std::vector<uint8_t> held_data_, outputs_, last_;
    std::vector<int64_t> in_cycles_, out_cycles_;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        const Args args(argc, argv);
        Bench bench(args);
        bench.reset();
        if (const uint64_t beats = args.number("reset_after_beats")) {
            bench.rehearse(beats);
            bench.reset();
        }
        bench.run();
    } catch (const Failure& failure) {  // the waveform is complete up to here
        std::fprintf(stderr, "%s\n", failure.text.c_str());
        return failure.status;
    }
    return 0;
}
