# Writes OUT with the state of the sources in FOLDER, as `git describe` has it; untouched while that is the same.
if(NOT COMMIT)
  execute_process(COMMAND git describe --always --dirty --abbrev=7 WORKING_DIRECTORY ${FOLDER}
                  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT COMMIT)
  set(COMMIT unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define SMALTI_COMMIT \"${COMMIT}\"\n")
