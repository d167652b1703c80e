// An NVTX tool for tests, loaded by every library that uses NVTX if NVTX_INJECTION64_PATH names it. It appends a line
// for each range opened or closed to the file that NVTX_RECORD names: thread, push or pop, domain, message, with tabs
// between.
#include <nvtx3/nvToolsExt.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void write(const char* event, nvtxDomainHandle_t domain, const char* message) {
  static FILE* const file = [] {
    FILE* opened = std::fopen(std::getenv("NVTX_RECORD"), "a");
    std::setvbuf(opened, nullptr, _IOLBF, 0);  // a line is written whole, whatever other threads write
    return opened;
  }();
  // A domain's handle is the name that it was created with; the default domain has none.
  std::fprintf(file, "%ld\t%s\t%s\t%s\n", syscall(SYS_gettid), event,
               domain ? reinterpret_cast<const char*>(domain) : "", message);
}

nvtxDomainHandle_t create(const char* name) { return reinterpret_cast<nvtxDomainHandle_t>(strdup(name)); }

int push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  write("push", domain, event->messageType == NVTX_MESSAGE_TYPE_ASCII ? event->message.ascii : "");
  return 0;
}

int pop(nvtxDomainHandle_t domain) {
  write("pop", domain, "");
  return 0;
}

}  // namespace

// Called once for each library that uses NVTX, since each has a table of functions of its own.
extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned int size = 0;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size)) return 0;
  *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(create);
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}
