// Counts what a program asks of the C library: preloaded into it by bench/calls.py, which reads the counters
// from the file that COUNTERS names while the program runs.

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// Shorter copies are of texts, which have to be written somewhere; longer ones are mostly of values that move.
#define MIN_COUNTED_COPY 257

struct counters {
    atomic_ullong allocations;
    atomic_ullong copied;
};

// Counts what comes before the file is mapped.
static struct counters early;
static struct counters *counters = &early;

__attribute__((constructor)) static void map_counters(void) {
    const char *path = getenv("COUNTERS");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        counters = mapped;
    close(file);
}

static void count_allocation(void) {
    atomic_fetch_add_explicit(&counters->allocations, 1, memory_order_relaxed);
}

static void count_copy(size_t length) {
    if (length >= MIN_COUNTED_COPY)
        atomic_fetch_add_explicit(&counters->copied, length, memory_order_relaxed);
}

// The C library exports each of its functions by a second name, too.
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__memcpy_chk(void *, const void *, size_t, size_t);
void *__memmove_chk(void *, const void *, size_t, size_t);

void *malloc(size_t size) {
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count_allocation();
    return __libc_calloc(number, size);
}

void *realloc(void *allocated, size_t size) {
    count_allocation();
    return __libc_realloc(allocated, size);
}

int posix_memalign(void **allocated, size_t alignment, size_t size) {
    count_allocation();
    *allocated = __libc_memalign(alignment, size);
    return *allocated ? 0 : 12;
}

void *aligned_alloc(size_t alignment, size_t size) {
    count_allocation();
    return __libc_memalign(alignment, size);
}

void *memcpy(void *to, const void *from, size_t length) {
    count_copy(length);
    return __memcpy_chk(to, from, length, length);
}

void *memmove(void *to, const void *from, size_t length) {
    count_copy(length);
    return __memmove_chk(to, from, length, length);
}
