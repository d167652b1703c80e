# Fails if objects for one instruction set define a weak symbol, which the linker may use on every processor.
execute_process(COMMAND ${NM} --defined-only --demangle ${OBJECTS} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
if(weak)
  list(JOIN weak "\n" listing)
  message(FATAL_ERROR "${OBJECTS} defines weak symbols, which code for one instruction set must not have:\n${listing}")
endif()
