// The Python module spikegrad._cpu.
#include <nanobind/nanobind.h>

#include "cpu/handlers.h"
#include "cpu/instruction_set.h"

namespace nb = nanobind;

NB_MODULE(_cpu, m) {
  m.doc() = "The CPU kernels of spikegrad as XLA FFI handlers.";
  m.def(
      "targets",
      [] {
        nb::dict targets;
#define SPIKEGRAD_ADD(symbol, name) targets[name] = nb::capsule(reinterpret_cast<void*>(spikegrad::spikegrad_##symbol));
        SPIKEGRAD_FOR_EACH_TARGET(SPIKEGRAD_ADD)
#undef SPIKEGRAD_ADD
        return targets;
      },
      "The FFI targets: a capsule for each name.");
  m.attr("ffi_api_version") = nb::make_tuple(XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR);
  m.attr("jaxlib_of_headers") = SPIKEGRAD_JAXLIB;
  m.attr("instruction_set") = spikegrad::best_instruction_set().name;
}
