/* fsync, write, threads and the clock as they are on a bad day; see shim.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* In the order of WORDS in shim.py. */
static volatile struct {
  int failing_syncs, failing_writes, full, no_threads, sync_delay, clock_step;
} nothing, *orders = (void *)&nothing;

__attribute__((constructor)) static void open_orders(void) {
  const char *path = getenv("FAULT_ORDERS");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) orders = page;
  close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fails(volatile int *count) {
  int left = *count;
  while (left > 0 && !__sync_bool_compare_and_swap(count, left, left - 1)) left = *count;
  return left > 0;
}

static int failing_sync(void) {
  if (orders->sync_delay) usleep(orders->sync_delay * 1000);
  if (!fails(&orders->failing_syncs)) return 0;
  errno = EIO;
  return 1;
}

int fsync(int fd) { return failing_sync() ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return failing_sync() ? -1 : REAL(fdatasync)(fd); }

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  if (orders->full || fails(&orders->failing_writes)) {
    errno = orders->full ? ENOSPC : EIO;
    return -1;
  }
  return REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
  return orders->no_threads ? EAGAIN : REAL(pthread_create)(thread, how, run, with);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = REAL(clock_gettime)(clock, now);
  if (!result && clock == CLOCK_REALTIME) now->tv_sec += orders->clock_step;
  return result;
}
