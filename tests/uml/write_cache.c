/*
 * Preloaded into linux.uml or QEMU: gives one disk image the volatile write cache of a real disk.
 *
 * What is written to the file KSBUILD_WRITE_CACHE (the path that either opens) stays in this
 * process until the guest flushes its disk. Whoever kills the process takes its power, and the cache
 * is gone, as the host's own page cache would not be. A process that ends by itself, or starts
 * itself anew, writes it out, as a disk does that is switched off in an orderly way; so does a cache
 * that is full.
 *
 * A flush would be fsync or fdatasync of the file, but User-mode Linux 6.1 never comes to that: its
 * disk thread works through the segments of a request, and a flush has none (do_io() and
 * ubd_submit_request() in arch/um/drivers/ubd_kern.c). So the requests are looked at where that
 * thread reads their addresses. Whatever a flush covers was done before it was asked for.
 *
 * QEMU flushes with fdatasync, and reads and writes in several threads: a lock keeps them apart.
 *
 * Both write whole sectors. abort() rather than keep what should be lost, or lose what should be
 * kept.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512, PAGE = 4096, SLOTS = (64 << 20) / PAGE, TABLE = 4 * SLOTS, HANDLES = 1024, REQUESTS = 64 };

struct page {
    uint64_t number;  /* of the page on the disk */
    uint8_t sectors;  /* which of its eight are here; none: a free place */
    uint32_t slot;    /* where in the room */
};

/* struct io_thread_req, as far as its segments begin */
struct request {
    void *of_the_block_layer;
    int handles[2];
    unsigned long offsets[2];
    unsigned long long offset;
    int sector_size, error, segments;
};

static const char *path_of_disk;
static int disk = -1; /* a handle of our own: User-mode Linux closes and opens its own */
static char is_disk[HANDLES];
static struct page *table;
static uint32_t *place_of; /* slot -> place in the table */
static char *room;
static uint32_t used;
static pid_t owner;
static char locked;

static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_preadv)(int, const struct iovec *, int, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_close)(int);
static int (*real_open)(const char *, int, ...);
static int (*real_fallocate)(int, int, off64_t, off64_t);
static int (*real_execv)(const char *, char *const[]);
static int (*real_execvp)(const char *, char *const[]);

static void *anonymous(size_t size)
{
    void *made = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    /* Each of the guest's programs is a fork of this process. */
    if (made == MAP_FAILED || madvise(made, size, MADV_DONTFORK) != 0)
        abort();
    return made;
}

__attribute__((constructor)) static void begin(void)
{
    real_read = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    real_pread = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    real_pwrite = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    real_preadv = (ssize_t (*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "preadv64");
    real_pwritev = (ssize_t (*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "pwritev64");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
    real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    real_fallocate = (int (*)(int, int, off64_t, off64_t))dlsym(RTLD_NEXT, "fallocate64");
    real_execv = (int (*)(const char *, char *const[]))dlsym(RTLD_NEXT, "execv");
    real_execvp = (int (*)(const char *, char *const[]))dlsym(RTLD_NEXT, "execvp");
    owner = getpid();
    path_of_disk = getenv("KSBUILD_WRITE_CACHE");
    if (path_of_disk == NULL)
        return;
    disk = real_open(path_of_disk, O_RDWR | O_CLOEXEC);
    if (disk < 0)
        abort();
    table = anonymous(TABLE * sizeof *table);
    place_of = anonymous(SLOTS * sizeof *place_of);
    room = anonymous((size_t)SLOTS * PAGE);
}

/* No pthread mutex: User-mode Linux's disk thread is none of libc's. */
static void lock(void)
{
    while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void unlock(void)
{
    __atomic_clear(&locked, __ATOMIC_RELEASE);
}

static int cached(int handle)
{
    return handle >= 0 && handle < HANDLES && is_disk[handle];
}

/* The place of the page at that offset, or the free one where it would be. */
static struct page *look_up(uint64_t offset)
{
    uint64_t number = offset / PAGE;
    uint64_t at = number * 0x9E3779B97F4A7C15ull >> 20;

    while (table[at % TABLE].sectors && table[at % TABLE].number != number)
        at++;
    return &table[at % TABLE];
}

static char *byte_in(struct page *page, uint64_t offset)
{
    return room + (size_t)page->slot * PAGE + offset % PAGE;
}

static uint8_t bit(uint64_t offset)
{
    return (uint8_t)(1 << offset % PAGE / SECTOR);
}

static void drain_locked(void)
{
    for (uint32_t slot = 0; slot < used; slot++) {
        struct page *page = &table[place_of[slot]];
        for (uint64_t at = page->number * PAGE; at < (page->number + 1) * PAGE; at += SECTOR)
            if (page->sectors & bit(at) &&
                real_pwrite(disk, byte_in(page, at), SECTOR, (off64_t)at) != SECTOR)
                abort();
    }
    for (uint32_t slot = 0; slot < used; slot++)
        table[place_of[slot]].sectors = 0;
    used = 0;
}

static void drain(void)
{
    lock();
    drain_locked();
    unlock();
}

__attribute__((destructor)) static void end(void)
{
    if (getpid() == owner) /* and not a child of it */
        drain();
}

static void look_at(const struct request *request)
{
    if (!cached(request->handles[0]))
        return;
    if (request->sector_size != SECTOR || request->segments < 0)
        abort(); /* another User-mode Linux, whose requests look otherwise */
    if (request->segments == 0)
        drain();
}

ssize_t read(int handle, void *buffer, size_t size)
{
    ssize_t got = real_read(handle, buffer, size);
    struct request **requests = buffer;

    /* The disk thread is a process of its own; no other reads so much at once. */
    if (table != NULL && size == REQUESTS * sizeof *requests && getpid() != owner)
        for (ssize_t at = 0; at < got / (ssize_t)sizeof *requests; at++)
            look_at(requests[at]);
    return got;
}

static void put(const char *buffer, size_t size, uint64_t offset)
{
    if (size % SECTOR || offset % SECTOR)
        abort();
    for (size_t done = 0; done < size; done += SECTOR) {
        uint64_t at = offset + done;
        struct page *page = look_up(at);
        if (!page->sectors) {
            if (used == SLOTS)
                drain_locked();
            page = look_up(at);
            place_of[used] = (uint32_t)(page - table);
            page->number = at / PAGE;
            page->slot = used++;
        }
        memcpy(byte_in(page, at), buffer + done, SECTOR);
        page->sectors |= bit(at);
    }
}

static void put_over(char *buffer, ssize_t got, uint64_t offset)
{
    for (ssize_t done = 0, part; done < got; done += part) {
        uint64_t at = offset + (uint64_t)done;
        struct page *page = look_up(at);
        part = SECTOR - (ssize_t)(at % SECTOR);
        if (part > got - done)
            part = got - done;
        if (page->sectors & bit(at))
            memcpy(buffer + done, byte_in(page, at), (size_t)part);
    }
}

ssize_t pwrite64(int handle, const void *buffer, size_t size, off64_t offset)
{
    if (!cached(handle))
        return real_pwrite(handle, buffer, size, offset);
    lock();
    put(buffer, size, (uint64_t)offset);
    unlock();
    return (ssize_t)size;
}

/* Locked as a whole: what is drained between the file and the cache would be seen in neither. */
ssize_t pread64(int handle, void *buffer, size_t size, off64_t offset)
{
    if (!cached(handle))
        return real_pread(handle, buffer, size, offset);
    lock();
    ssize_t got = real_pread(handle, buffer, size, offset);
    put_over(buffer, got, (uint64_t)offset);
    unlock();
    return got;
}

ssize_t pwritev64(int handle, const struct iovec *parts, int count, off64_t offset)
{
    ssize_t done = 0;

    if (!cached(handle))
        return real_pwritev(handle, parts, count, offset);
    lock();
    for (int part = 0; part < count; done += (ssize_t)parts[part++].iov_len)
        put(parts[part].iov_base, parts[part].iov_len, (uint64_t)(offset + done));
    unlock();
    return done;
}

ssize_t preadv64(int handle, const struct iovec *parts, int count, off64_t offset)
{
    ssize_t done = 0;

    if (!cached(handle))
        return real_preadv(handle, parts, count, offset);
    lock();
    ssize_t got = real_preadv(handle, parts, count, offset);
    for (int part = 0; part < count && done < got; part++) {
        ssize_t size = (ssize_t)parts[part].iov_len;
        if (size > got - done)
            size = got - done;
        put_over(parts[part].iov_base, size, (uint64_t)(offset + done));
        done += size;
    }
    unlock();
    return got;
}

int fsync(int handle)
{
    if (cached(handle))
        drain();
    return real_fsync(handle);
}

int fdatasync(int handle)
{
    if (cached(handle))
        drain();
    return real_fdatasync(handle);
}

/* Discards and zeros are rare: what is older goes out first, as a disk may choose. */
int fallocate64(int handle, int mode, off64_t offset, off64_t size)
{
    if (cached(handle))
        drain();
    return real_fallocate(handle, mode, offset, size);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;

    va_start(rest, flags);
    int handle = real_open(path, flags, va_arg(rest, mode_t));
    va_end(rest);
    if (handle >= 0 && handle < HANDLES)
        is_disk[handle] = path_of_disk != NULL && strcmp(path, path_of_disk) == 0;
    return handle;
}

int close(int handle)
{
    if (handle >= 0 && handle < HANDLES)
        is_disk[handle] = 0;
    return real_close(handle);
}

int execv(const char *file, char *const arguments[])
{
    end();
    return real_execv(file, arguments);
}

int execvp(const char *file, char *const arguments[])
{
    end();
    return real_execvp(file, arguments);
}
