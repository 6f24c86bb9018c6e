// The function that programs provide when they link the archive: the shared library has its own, so that a program can load it.
#include <stdlib.h>

void taskseal_panic(void) {
    abort();
}
