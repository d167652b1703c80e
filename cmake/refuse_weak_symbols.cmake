# Fails when the objects of one instruction set define a weak symbol: the linker would be free to use it for all others.
execute_process(COMMAND ${NM} --defined-only --demangle ${OBJECTS} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
if(weak)
  list(JOIN weak "\n" listing)
  message(FATAL_ERROR "${OBJECTS} defines weak symbols, which must not be compiled for one instruction set:\n${listing}")
endif()
