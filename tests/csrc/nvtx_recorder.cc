// An NVTX tool for tests. Libraries that use NVTX load it if NVTX_INJECTION64_PATH names it. For each range that is
// opened or closed it appends a line to the file that NVTX_RECORD names. The line has thread, push or pop, domain and
// message, separated by tabs.
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
    std::setvbuf(opened, nullptr, _IOLBF, 0);  // each line is written at once, even with several threads
    return opened;
  }();
  // The handle of a domain is the name that it was created with. The default domain has no handle.
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

// Called once for each library that uses NVTX, because each library has its own function table.
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
