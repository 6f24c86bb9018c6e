// Seals a task of suite S with the C library and prints its size.
package main

// #cgo pkg-config: taskseal
// #include "seal.h"
import "C"

import (
	"crypto/rand"
	"fmt"
	"os"
	"time"
	"unsafe"
)

func main() {
	// A new key and a new task id.
	random := make([]byte, C.TASKSEAL_KEY_LEN+C.TASKSEAL_TASK_ID_LEN)
	if _, err := rand.Read(random); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	body := []byte(`{"celsius":21}`)
	envelope := make([]byte, len(body)+C.TASKSEAL_MAX_OVERHEAD_S)
	size := C.seal_reading(bytes(random), C.uint64_t(time.Now().Unix()), bytes(body), C.size_t(len(body)),
		bytes(envelope), C.size_t(len(envelope)))
	// COSE_Sign1 has tag 18.
	if size < 0 || envelope[0] != 0xd2 {
		fmt.Fprintln(os.Stderr, C.GoString(C.taskseal_error_name(size)))
		os.Exit(1)
	}
	fmt.Printf("sealed: %d bytes\n", size)
}

func bytes(slice []byte) *C.uint8_t {
	return (*C.uint8_t)(unsafe.Pointer(&slice[0]))
}
